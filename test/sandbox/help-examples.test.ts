// The examples of `virlan COMMAND --help`, each run by a shell as it is written, on a host with the machines that
// they name.
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { commands } from '../../src/cli/table.ts';
import {
  configure,
  define,
  destroyMachine,
  domainXml,
  installVirlan,
  internet,
  leaseOf,
  macsOf,
  type Nic,
  startLibvirtd,
  startMachine,
  virlan,
  withHotplug,
} from './host.ts';
import { guestKernel, makeInitramfs, networkModules } from './initramfs.ts';
import { logLinesOf } from './log.ts';
import { until } from './until.ts';
import { checkout } from './virlan.ts';
import { succeeded, up } from './virlan-commands.ts';
import { idle, startWatcher, stopWatcher } from './watcher.ts';

const help = suite('examples of the help');

const directory = '/tmp/examples';
const nics: Nic[] = [{ type: 'bridge', source: 'k8s-br0' }];
const env = { PATH: `${directory}/bin:${process.env.PATH}` };

/** Exit codes other than 0. */
const exitCodes: Readonly<Record<string, number>> = {
  // new.ini moves the network to another subnet.
  'virlan plan --config new.ini': 3,
};

/** By example: a text that it must have printed; the others must only succeed. */
const outputs: Readonly<Record<string, RegExp>> = {
  'virlan status': /^virlan .*\n\nk8s-br0 {2}up /,
  'virlan plan': /^Nothing to do/,
  'virlan inventory --list': /"ansible_host": "192\.168\.100\.155"/,
  'virlan inventory --host web': /"virlan_name": "web"/,
  'virlan metrics': /^virlan_watcher_running 1$/m,
  'virlan metrics --output /var/lib/prometheus/node-exporter/virlan.prom': /^$/,
  'virlan doctor web': /^Nothing else is wrong\.$/m,
  'virlan doctor web --json --follow': /^(\{"checks":\[.*\]\}\n){3}\{.*"well":true.*\}$/,
  'virlan ip web --verbose': /^192\.168\.100\.\d+\n {2}address /,
  // Instead of ssh, a script prints its arguments.
  'ssh root@$(virlan ip web)': /^root@192\.168\.100\.155$/,
  'virlan forward web tcp/8443:443 udp/30000-30010': /tcp\/8443:443/,
  'virlan adopt old-web': /^old-web gets the MAC of the formula now$/,
  'virlan forget old-web': /^old-web is forgotten: 192\.168\.100\.\d+$/,
};

/** The init process of a guest that gets its address by DHCP, and answers for it from then on. */
const init = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /etc
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t sysfs none /sys
while read -r module; do insmod "/modules/$module.ko"; done < /modules/order
ip link set eth0 up
udhcpc -i eth0 -s /dhcp.sh
while :; do sleep 1000; done
`;

/** Returns the XML of a machine with this init process. */
async function bootable(name: string): Promise<string> {
  const initrd = `${directory}/initrd`;
  writeFileSync(`${directory}/init`, init);
  await makeInitramfs(initrd, {
    files: { '/init': `${directory}/init`, '/dhcp.sh': `${checkout}/test/sandbox/cloud-init-dhcp.sh` },
    modules: networkModules,
  });
  const boot = `<kernel>${guestKernel()}</kernel><initrd>${initrd}</initrd>`;
  return withHotplug(domainXml({ name, nics }))
    .replace("<boot dev='network'/>", `${boot}<cmdline>quiet mitigations=off</cmdline>`)
    .replace("<memory unit='MiB'>64", "<memory unit='MiB'>192");
}

help.before(async () => {
  mkdirSync(`${directory}/bin`, { recursive: true });
  writeFileSync(`${directory}/bin/ssh`, '#!/bin/sh\necho "$@"\n');
  chmodSync(`${directory}/bin/ssh`, 0o755);
  writeFileSync(`${directory}/new.ini`, '[network.k8s-br0]\nsubnet = 10.20.0.0/24\n');
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\n');
  await startLibvirtd();
  await internet();
  await startWatcher();
  await define(await bootable('web'));
  await define(domainXml({ name: 'old-web', nics }));
  for (const name of ['web', 'old-web']) await startMachine(name);
  await destroyMachine('old-web');
  const [mac = ''] = await macsOf('web');
  await leaseOf(mac, 120);
});

/** Returns the examples that the help of a command shows. */
async function examplesOf(command: string): Promise<string[]> {
  const lines = succeeded(await virlan(command, '--help')).split('\n');
  const shown = lines.slice(lines.indexOf('Examples') + 1);
  return shown.filter(line => /^ {2}\S/.test(line)).map(line => line.trim());
}

// Leaves out expel, which needs a cluster: test/cluster/etcd-doctor.test.ts runs its examples.
for (const { name } of commands.filter(command => command.name !== 'expel')) {
  help(`each example of virlan ${name} does what it says`, async () => {
    const examples = await examplesOf(name);
    assert(examples.length > 0);
    for (const example of examples) {
      if (name === 'watch') await watchUntilInterrupted(example);
      else if (/ --watch\b/.test(example)) await followInTerminal(example);
      else await runExample(example);
    }
  });
}

async function runExample(example: string): Promise<void> {
  const { exitCode, stdout, stderr } = await execa('sh', ['-c', example], {
    cwd: directory,
    env,
    reject: false,
    timeout: 120_000,
  });
  assert.equal(exitCode, exitCodes[example] ?? 0, `${example}: ${stdout}${stderr}`);
  assert.equal(stderr, '', example);
  assert.match(stdout, outputs[example] ?? /\S/, example);
  // Others need the network, and the reservations.
  if (example.startsWith('virlan down')) await up();
  await idle('web');
}

/** Runs a command in a terminal of its own, with `q` typed, which ends it. */
async function followInTerminal(example: string): Promise<void> {
  const { exitCode, stdout } = await execa('script', ['-q', '-e', '-c', example, '/dev/null'], {
    cwd: directory,
    env,
    input: 'q',
    reject: false,
    timeout: 60_000,
  });
  assert.equal(exitCode, 0, `${example}: ${stdout}`);
  // It has entered and left the alternate screen.
  for (const sequence of ['\x1b[?1049h', '\x1b[?1049l'])
    assert(stdout.includes(sequence), JSON.stringify(stdout));
}

/** Runs the watcher in the foreground until it watches, and ends it as Ctrl-C does. */
async function watchUntilInterrupted(example: string): Promise<void> {
  await stopWatcher();
  const starts = logLinesOf('watcher-started').length;
  const running = execa('sh', ['-c', `exec ${example}`], { cwd: directory, env, reject: false });
  await until(() => logLinesOf('watcher-started').length > starts);
  running.kill('SIGINT');
  assert.equal((await running).exitCode, 0);
  await startWatcher();
}

help.run();
