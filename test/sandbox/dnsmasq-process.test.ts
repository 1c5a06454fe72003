// The process that counts as a network's dnsmasq, and the end of one that answers nobody.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { runHook } from './hook-calls.ts';
import {
  configure,
  dhcp,
  domainXml,
  type Guest,
  guest,
  installVirlan,
  remove,
  startLibvirtd,
  virlan,
} from './host.ts';
import { processes } from './snapshot.ts';
import { until } from './until.ts';
import { down, plannedSteps, up } from './virlan-commands.ts';
import { startWatcher, stopWatcher, watcherPid } from './watcher.ts';

const dnsmasqs = suite('dnsmasq process');
const conf = '/var/lib/dnsmasq/k8s-br0/dnsmasq.conf';
const hostsfile = '/var/lib/dnsmasq/k8s-br0/hostsfile';

async function dnsmasqPid(): Promise<number | null> {
  return JSON.parse((await virlan('status', '--json')).stdout).networks[0].dnsmasq.pid;
}

/** Starts a program as the user nobody, with the name and arguments of the network's dnsmasq. */
async function startFake(program: string, ...args: string[]): Promise<ChildProcess> {
  const script = 'program=$1; shift; exec -a dnsmasq "$program" "$@"';
  const command = ['bash', '-c', script, 'bash', program, ...args, `--conf-file=${conf}`];
  const fake = spawn('setpriv', ['--reuid=nobody', '--clear-groups', ...command], { stdio: 'ignore' });
  await until(() => readFileSync(`/proc/${fake.pid}/cmdline`, 'utf8').startsWith('dnsmasq\0'));
  return fake;
}

/** Kills the real dnsmasq, and waits until it has released its ports. */
async function killDnsmasq(): Promise<void> {
  const pid = await dnsmasqPid();
  assert(pid !== null);
  process.kill(pid, 'SIGKILL');
  await until(() => !processes('dnsmasq').some(each => each.pid === pid));
}

dnsmasqs(
  'a process of another user with its name and arguments is not it, whatever it executes',
  async () => {
    await installVirlan();
    await configure('[network.k8s-br0]\nstp = no\n');
    assert.equal((await virlan('up')).exitCode, 0);
    copyFileSync('/bin/bash', '/tmp/dnsmasq');
    const forever = 'while :; do sleep 1; done';
    const fakes = [
      await startFake(process.execPath, '-e', 'setInterval(() => {}, 1000)', '--'),
      await startFake('/tmp/dnsmasq', '-c', forever),
    ];
    await killDnsmasq();
    assert.equal(await dnsmasqPid(), null);
    assert.match((await virlan('up')).stdout, /\+ dnsmasq/);
    const real = await dnsmasqPid();
    assert(real !== null && !fakes.some(({ pid }) => pid === real));
    // It is not recorded as there before, so nothing has to be started again.
    assert.equal((await virlan('down')).exitCode, 0);
    assert.equal((await virlan('up')).exitCode, 0);
    assert.equal((await virlan('down')).exitCode, 0);
    for (const fake of fakes) fake.kill('SIGKILL');
    rmSync('/tmp/dnsmasq');
  },
);

dnsmasqs('a dnsmasq that does not catch SIGHUP yet is not ended by it', async () => {
  await configure('[network.k8s-br0]\nstp = no\n');
  assert.equal((await virlan('up')).exitCode, 0);
  await killDnsmasq();
  // A shell stands in for dnsmasq between execve() and its first lines, which is over within a millisecond.
  copyFileSync('/bin/dash', '/tmp/dnsmasq');
  const starting = spawn('/tmp/dnsmasq', ['-c', 'read line', `--conf-file=${conf}`], {
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const ended = once(starting, 'exit');
  await until(async () => (await dnsmasqPid()) === starting.pid);
  const mac = '52:54:00:00:00:07';
  const web = domainXml({
    name: 'web',
    uuid: randomUUID(),
    nics: [{ mac, type: 'bridge', source: 'k8s-br0' }],
  });
  assert.equal((await runHook('qemu', ['web', 'prepare', 'begin', '-'], web)).exitCode, 0);
  assert.match(readFileSync(hostsfile, 'utf8'), /,web /);
  starting.stdin.write('\n');
  // It ends by itself.
  assert.deepEqual(await ended, [0, null]);
  rmSync('/tmp/dnsmasq');
  assert.equal((await virlan('down')).exitCode, 0);
});

dnsmasqs('down succeeds where a dnsmasq ran whose configuration is gone', async () => {
  assert.equal((await virlan('up')).exitCode, 0);
  const path = '/var/lib/virlan/before.json';
  const before = JSON.parse(readFileSync(path, 'utf8'));
  before.networks['k8s-br0'].dnsmasq = { conf: null, running: true };
  writeFileSync(path, JSON.stringify(before));
  const { exitCode, stderr } = await virlan('down');
  assert.deepEqual([exitCode, stderr], [0, '']);
});

dnsmasqs('down removes the pid file that a killed dnsmasq has left', async () => {
  assert.equal((await virlan('up')).exitCode, 0);
  await killDnsmasq();
  assert(existsSync('/run/dnsmasq/k8s-br0.pid'));
  assert.equal((await virlan('down')).exitCode, 0);
  assert.equal(existsSync('/run/dnsmasq/k8s-br0.pid'), false);
});

dnsmasqs('a dnsmasq that was stopped is named by status and doctor, and replaced by --fix', async () => {
  assert.equal((await virlan('up')).exitCode, 0);
  const stopped = await dnsmasqPid();
  assert(stopped !== null);
  process.kill(stopped, 'SIGSTOP');
  assert.match((await virlan('status')).stdout, new RegExp(`- dnsmasq process ${stopped}`));
  assert.match((await virlan('doctor')).stdout, /was stopped by a signal and answers\s+nobody/);
  await virlan('doctor', '--fix');
  assert.notEqual(await dnsmasqPid(), stopped);
  const resolver = new Resolver({ timeout: 5000, tries: 1 });
  resolver.setServers(['192.168.100.1']);
  await assert.rejects(resolver.resolve4('nobody.k8s-br0.internal'), { code: 'ENOTFOUND' });
});

dnsmasqs(
  'a resolv.conf that is a link into a missing directory costs names of the outside, not DHCP',
  async () => {
    await down();
    const original = readFileSync('/etc/resolv.conf');
    const conf = () => readFileSync('/var/lib/dnsmasq/k8s-br0/dnsmasq.conf', 'utf8');
    rmSync('/etc/resolv.conf');
    symlinkSync('../run/later/stub-resolv.conf', '/etc/resolv.conf');
    await up();
    assert.match(conf(), /^no-resolv$/m);
    const web = await guest('web', { mac: '52:54:00:00:00:0e' });
    await dhcp(web);
    await remove(web);
    assert.deepEqual(await plannedSteps(), []);
    mkdirSync('/run/later');
    await up();
    assert.doesNotMatch(conf(), /^no-resolv$/m);
    rmSync('/run/later', { recursive: true });
    rmSync('/etc/resolv.conf');
    writeFileSync('/etc/resolv.conf', original);
    await up();
  },
);

dnsmasqs('the watcher starts a dnsmasq that was killed again', async () => {
  await startLibvirtd();
  await startWatcher();
  const killed = await dnsmasqPid();
  assert(killed !== null);
  process.kill(killed, 'SIGKILL');
  // self-repair.test.ts, which runs alone, measures how long it takes.
  await until(() => processes('dnsmasq').some(({ pid }) => pid !== killed));
  await stopWatcher();
});

dnsmasqs('the watcher replaces a dnsmasq that was stopped', async () => {
  await startWatcher();
  const stopped = await dnsmasqPid();
  assert(stopped !== null);
  process.kill(stopped, 'SIGSTOP');
  await until(async () => ![stopped, null].includes(await dnsmasqPid()), 20);
  await stopWatcher();
});

/** Attaches to a process as a debugger does: it does not run from then on, and no signal has stopped it. */
const holdProcess = `import ctypes, os, sys
pid = int(sys.argv[1])
assert ctypes.CDLL(None).ptrace(16, pid, 0, 0) == 0
os.waitpid(pid, 0)
print("held", flush=True)
sys.stdin.read()`;

dnsmasqs('the watcher replaces a dnsmasq that hung before the watcher was started', async () => {
  const hung = await dnsmasqPid();
  assert(hung !== null);
  const debug = spawn('python3', ['-c', holdProcess, String(hung)], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(debug.stdout, 'data');
  await startWatcher();
  await until(async () => ![hung, null].includes(await dnsmasqPid()), 30);
  const resolver = new Resolver({ timeout: 5000, tries: 1 });
  resolver.setServers(['192.168.100.1']);
  await assert.rejects(resolver.resolve4('nobody.k8s-br0.internal'), { code: 'ENOTFOUND' });
  await stopWatcher();
  debug.kill();
});

/** Deletes the bridge and makes it again with all that is right about it, as another program might. */
async function makeBridgeAnew({ port }: Guest): Promise<void> {
  await execa('sh', [
    '-eu',
    '-c',
    `mac=$(cat /sys/class/net/k8s-br0/address)
    ip -batch - <<END
link delete k8s-br0
link add k8s-br0 address $mac type bridge forward_delay 200 priority 0 stp_state 0
address add 192.168.100.1/24 broadcast 192.168.100.255 dev k8s-br0
link set ${port} master k8s-br0
END
    cd /proc/sys/net
    echo 1 > ipv4/conf/k8s-br0/forwarding
    echo 1 > ipv6/conf/k8s-br0/disable_ipv6
    echo 0 > ipv6/conf/k8s-br0/accept_ra
    echo 0 > ipv6/conf/k8s-br0/autoconf
    ip link set k8s-br0 up`,
  ]);
}

dnsmasqs(
  'a bridge that another program has made anew with all that is right gets a dnsmasq that hears it',
  async () => {
    await configure('[network.k8s-br0]\nstp = no\n');
    await up();
    assert.deepEqual(await plannedSteps(), []);
    const renewed = await guest('renewed', { mac: '52:54:00:cc:00:77' });
    await dhcp(renewed);
    await makeBridgeAnew(renewed);
    const steps = await plannedSteps();
    assert.match(steps.join('; '), /^- dnsmasq process \d+; \+ dnsmasq DHCP and DNS on k8s-br0$/);
    await up();
    await dhcp(renewed);
    await startWatcher();
    // Otherwise a fast repair makes the bridge before the other program does.
    process.kill(watcherPid(), 'SIGSTOP');
    await makeBridgeAnew(renewed);
    process.kill(watcherPid(), 'SIGCONT');
    await until(async () => (await plannedSteps()).length === 0, 15);
    await dhcp(renewed);
    await stopWatcher();
    await remove(renewed);
    await down();
  },
);

dnsmasqs('leases that somebody moves, removes or edits are those that dnsmasq writes again', async () => {
  assert.equal((await virlan('up')).exitCode, 0);
  await startWatcher();
  const file = '/var/lib/dnsmasq/k8s-br0/leases';
  const mac = '00:16:3e:00:00:09';
  const lab = await guest('lab', { mac });
  const address = await dhcp(lab);
  const isKept = () => existsSync(file) && readFileSync(file, 'utf8').includes(`${mac} ${address}`);
  for (const change of [`mv ${file} ${file}.1`, `rm ${file}`, `sed -i s/lab/lab2/ ${file}`]) {
    const pid = await dnsmasqPid();
    await execa('sh', ['-euc', change]);
    await until(async () => isKept() && ![null, pid].includes(await dnsmasqPid()));
    // One more lease arrives in the file that everybody reads.
    const other = await guest(`new${pid}`, { mac: `00:16:3e:00:${(Number(pid) % 90) + 10}:0a` });
    const leased = await dhcp(other);
    await until(() => readFileSync(file, 'utf8').includes(leased));
    await remove(other);
  }
  assert.equal(await dhcp(lab), address);
  await remove(lab);
  await stopWatcher();
  assert.deepEqual(await plannedSteps(), []);
});

dnsmasqs.run();
