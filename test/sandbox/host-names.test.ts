// The host itself finds machines by name: by systemd-resolved, which virlan tells of each network.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { ask } from './dns.ts';
import {
  configure,
  define,
  dhcp,
  domainXml,
  type Guest,
  guest,
  host,
  installVirlan,
  internet,
  startLibvirtd,
  startMachine,
  virlan,
  within,
} from './host.ts';
import { installResolved, linkStatus, startResolved, stopResolved, stub } from './resolved.ts';
import { until } from './until.ts';
import { down, plannedSteps, succeeded, up } from './virlan-commands.ts';
import { idle, startWatcher, stopWatcher } from './watcher.ts';

const names = suite('host names');
const domain = 'k8s-br0.internal';
const web = `web.${domain}`;
const bridgeLog = '/tmp/bridge.log';
const upstreamLog = '/tmp/upstream.log';

let client: Guest;
let address: string;

/** Waits until the host finds the machine by its name, within the time that a repair may take. */
async function finds(name = web, seconds = 2): Promise<void> {
  await until(async () => (await ask(host, stub, `A ${name}`))[`A ${name}`] === address, seconds);
}

/**
 * Plugs the guest into a bridge that was made anew. systemd-resolved asks only at a link that has a carrier, and
 * this kernel has no dummy NIC to keep it.
 */
async function plugGuest(): Promise<void> {
  await execa('ip', ['link', 'set', client.port, 'master', 'k8s-br0']);
}

function queries(log: string): string[] {
  return [...readFileSync(log, 'utf8').matchAll(/query\[\w+\] (\S+)/g)].map(match => match[1] ?? '');
}

/** Returns the problems that `virlan status` names and that are about systemd-resolved. */
async function warnings(): Promise<string[]> {
  const { problems } = JSON.parse(succeeded(await virlan('status', '--json'))).networks[0];
  return problems.filter((problem: string) => problem.includes('resolved'));
}

names.before(async () => {
  await installVirlan();
  await installResolved();
  mkdirSync('/etc/virlan/dnsmasq.d/k8s-br0', { recursive: true });
  const log = `log-queries\nlog-facility=${bridgeLog}\n`;
  writeFileSync('/etc/virlan/dnsmasq.d/k8s-br0/log.conf', log);
  for (const file of [bridgeLog, upstreamLog]) writeFileSync(file, '', { mode: 0o666 });
  await configure('[network.k8s-br0]\nstp = no\n');
  const outside = await internet();
  const options = [
    '--conf-file=/dev/null',
    '--no-resolv',
    '--no-hosts',
    '--log-queries',
    '--user=root',
    '-k',
  ];
  const answers = ['--address=/example.com/198.51.100.7', `--log-facility=${upstreamLog}`, '--pid-file='];
  const [program, args] = within(outside, 'dnsmasq', [...options, ...answers]);
  spawn(program, args, { stdio: 'inherit' });
  await startResolved();
  await startLibvirtd();
  await startWatcher();
  client = await guest('client', { mac: '52:54:00:00:00:c1' });
  await dhcp(client);
  await define(domainXml({ name: 'web', nics: [{ type: 'bridge', source: 'k8s-br0' }] }));
  await idle('web');
  address = succeeded(await virlan('ip', 'web')).trim();
});

names.after(() => stopWatcher().catch(() => {}));

names(
  'the host finds a machine by its name and by its address, and asks for nothing else at the bridge',
  async () => {
    await finds();
    const questions = [`PTR ${address}`, 'PTR 192.168.100.253', `A nobody.${domain}`, 'A example.com'];
    assert.deepEqual(Object.values(await ask(host, stub, ...questions)), [
      web,
      'ENOTFOUND',
      'ENOTFOUND',
      '198.51.100.7',
    ]);
    const asked = queries(bridgeLog);
    assert(asked.includes(web) && !asked.includes('example.com'), asked.join());
    assert.deepEqual(
      queries(upstreamLog).filter(name => name.endsWith('internal') || name.endsWith('168.192.in-addr.arpa')),
      [],
    );
    assert.match((await execa('getent', ['ahostsv4', web])).stdout, new RegExp(`^${address} `));
    const status = await linkStatus('k8s-br0');
    assert.match(status, /Protocols: -DefaultRoute -LLMNR -mDNS -DNSOverTLS DNSSEC=no/);
    assert.match(
      (await virlan('status')).stdout,
      /^ {2}this host finds names in k8s-br0.internal by systemd-resolved$/m,
    );
    assert.deepEqual(
      (await plannedSteps()).filter(step => /names|dnsmasq|resolved/.test(step)),
      [],
    );
  },
);

names('with dns = host and the stub in resolv.conf, a question goes round in no circle', async () => {
  writeFileSync(bridgeLog, '');
  const questions = [`A nobody.${domain}`, 'PTR 192.168.100.253', 'A nobody', 'A example.com'];
  assert.deepEqual(Object.values(await ask(client, '192.168.100.1', ...questions)), [
    'ENOTFOUND',
    'ENOTFOUND',
    'ENOTFOUND',
    '198.51.100.7',
  ]);
  assert.equal(queries(bridgeLog).length, questions.length, readFileSync(bridgeLog, 'utf8'));
});

names('a restarted systemd-resolved that has forgotten the bridge is told again', async () => {
  await stopResolved();
  assert.deepEqual(await warnings(), []);
  await startResolved();
  await finds();
});

names('a bridge that was made anew is told to systemd-resolved again', async () => {
  await execa('ip', ['link', 'delete', 'k8s-br0']);
  await until(async () => (await linkStatus('k8s-br0')).includes('192.168.100.1'), 5);
  await plugGuest();
  await finds();
});

names('settings that somebody has reverted are back within a second', async () => {
  await execa('resolvectl', ['revert', 'k8s-br0']);
  await finds(web, 3);
});

/** Returns the finding of `virlan doctor web` about its name. */
async function findingAboutName() {
  const { checks } = JSON.parse((await virlan('doctor', 'web', '--json')).stdout);
  return checks.find(({ check }: { check: string }) => check === 'name');
}

names('doctor says whether the host finds a machine, and its command repairs that', async () => {
  await startMachine('web');
  assert.equal((await findingAboutName()).code, 'name-found');
  writeFileSync('/etc/resolv.conf', 'nameserver 203.0.113.2\n');
  const { code, state, seen, fix } = await findingAboutName();
  assert.deepEqual([code, state, fix.mends], ['name-unknown', 'warn', true]);
  assert.match(seen, /do not ask systemd-resolved/);
  await execa('sh', ['-c', fix.command]);
  // systemd-resolved writes it where systemd starts it.
  writeFileSync('/run/systemd/resolve/stub-resolv.conf', `nameserver ${stub}\n`);
  assert.equal((await findingAboutName()).code, 'name-found');
  rmSync('/etc/resolv.conf');
  writeFileSync('/etc/resolv.conf', `nameserver ${stub}\n`);
});

names(
  'with names = search short names are found; with names = no systemd-resolved knows nothing',
  async () => {
    await configure('[network.k8s-br0]\nstp = no\nnames = search\n');
    await until(
      async () => (await execa('resolvectl', ['query', 'web'], { reject: false })).exitCode === 0,
      5,
    );
    await configure('[network.k8s-br0]\nstp = no\nnames = no\n');
    await until(async () => !(await linkStatus('k8s-br0')).includes('192.168.100.1'), 5);
    assert.notEqual((await ask(host, stub, `A ${web}`))[`A ${web}`], address);
    await configure('[network.k8s-br0]\nstp = no\n');
    await finds(web, 5);
  },
);

names(
  'a bridge that systemd-networkd manages is a warning, and nothing is tried again and again',
  async () => {
    const index = readFileSync('/sys/class/net/k8s-br0/ifindex', 'utf8').trim();
    await execa('resolvectl', ['revert', 'k8s-br0']);
    mkdirSync('/run/systemd/netif/links', { recursive: true });
    writeFileSync(`/run/systemd/netif/links/${index}`, 'ADMIN_STATE=configured\nOPER_STATE=routable\n');
    const told = await virlan('up');
    assert.match(`${told.stdout}${told.stderr}`, /systemd-networkd manages k8s-br0/);
    assert.match(
      (await warnings()).join('\n'),
      /^systemd-networkd manages k8s-br0, so systemd-resolved is not told/m,
    );
    assert.deepEqual((await virlan('plan')).exitCode, 0);
    rmSync('/run/systemd/netif', { recursive: true });
    succeeded(await virlan('up'));
    await finds();
  },
);

names('down makes systemd-resolved forget a bridge that stays, as it was there before', async () => {
  await stopWatcher();
  await down();
  await execa('ip', ['link', 'add', 'k8s-br0', 'type', 'bridge']);
  await up();
  await plugGuest();
  await finds();
  await down();
  assert.match((await execa('ip', ['-br', 'link', 'show', 'k8s-br0'])).stdout, /k8s-br0/);
  assert.doesNotMatch(await linkStatus('k8s-br0'), /192\.168\.100\.1|internal/);
  await execa('ip', ['link', 'delete', 'k8s-br0']);
  await startWatcher();
  await up();
});

names('a host without systemd-resolved has no warning, and is told what to install', async () => {
  await stopResolved();
  rmSync('/run/systemd/resolve', { recursive: true });
  assert.match(
    (await virlan('status')).stdout,
    /does not find names in k8s-br0.internal: install systemd-resolved or/,
  );
  assert.deepEqual(await warnings(), []);
  const nsswitch = readFileSync('/etc/nsswitch.conf', 'utf8');
  writeFileSync(
    '/etc/nsswitch.conf',
    nsswitch.replace(/^hosts:.*$/m, 'hosts: files libvirt libvirt_guest dns'),
  );
  assert.match((await virlan('status')).stdout, /this host finds names of machines by libnss-libvirt/);
  // By its lease.
  await until(async () => (await findingAboutName()).code === 'name-found', 60);
  writeFileSync('/etc/nsswitch.conf', nsswitch);
  const { code, fix } = await findingAboutName();
  assert.deepEqual([code, fix.mends], ['name-unknown', true]);
  await execa('sh', ['-c', fix.command]);
  assert.match(readFileSync('/etc/nsswitch.conf', 'utf8'), /^hosts:\s+files libvirt libvirt_guest/m);
  assert.match((await virlan('status')).stdout, /this host finds names of machines by libnss-libvirt/);
});

names.run();
