// Names of machines in DNS: before and without a lease, forward and reverse, whatever guests call themselves.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { execa } from 'execa';
import { suite } from 'uvu';
import { ask } from './dns.ts';
import {
  configure,
  define,
  destroyMachine,
  dhcp,
  domainXml,
  type Guest,
  guest,
  installVirlan,
  internet,
  internetAddress,
  type Linked,
  startLibvirtd,
  startMachine,
  undefine,
  virlan,
  virsh,
  within,
} from './host.ts';
import { until } from './until.ts';
import { ipOf, plannedSteps, succeeded } from './virlan-commands.ts';
import { idle, startWatcher, stopWatcher } from './watcher.ts';

const names = suite('names');
const directory = '/var/lib/dnsmasq/k8s-br0';
const gateway = '192.168.100.1';
const upstreamLog = '/tmp/upstream.log';
const nic = [{ type: 'bridge', source: 'k8s-br0' }] as const;

let client: Guest;
let outside: Linked;
let upstream: ChildProcess;

async function defineMachine(name: string, metadata?: string): Promise<void> {
  await define(domainXml({ name, nics: [...nic], ...(metadata === undefined ? {} : { metadata }) }));
  await idle(name);
}

/** Starts the name server of the internet. It answers every name of example.com, and logs questions. */
async function startUpstream(): Promise<void> {
  writeFileSync(upstreamLog, '');
  const options = ['--conf-file=/dev/null', '--no-resolv', '--no-hosts', '--log-queries', '--user=root'];
  const answers = ['--address=/example.com/198.51.100.7', '--host-record=public.test,9.9.9.9'];
  for (const address of [gateway, '127.0.0.1', '169.254.169.254', '10.0.0.5'])
    answers.push(`--host-record=${address}.rebind.test,${address}`);
  const files = ['--pid-file=/tmp/upstream.pid', `--log-facility=${upstreamLog}`];
  const command = within(outside, 'dnsmasq', [...options, ...answers, ...files, '-k']);
  upstream = spawn(command[0], command[1], { stdio: 'inherit' });
  await until(
    async () => Object.values(await ask(outside, internetAddress, 'A example.com'))[0] === '198.51.100.7',
  );
  writeFileSync(upstreamLog, '');
}

names.before(async () => {
  await installVirlan();
  await configure(`[network.k8s-br0]
stp = no
[host.printer]
network = k8s-br0
mac = 02:00:00:00:00:11
ip = 192.168.100.11
`);
  outside = await internet();
  await startUpstream();
  await startLibvirtd();
  await startWatcher();
  client = await guest('client', { mac: '52:54:00:00:00:c1' });
  await dhcp(client);
});

names.after(async () => {
  upstream.kill();
  await stopWatcher().catch(() => {});
});

names('a machine that never ran has its name, short and long, and its address has it', async () => {
  await defineMachine('web');
  const ip = await ipOf('web');
  assert.deepEqual(
    await ask(client, gateway, 'A web', 'A web.k8s-br0.internal', `PTR ${ip}`, 'AAAA web.k8s-br0.internal'),
    {
      'A web': ip,
      'A web.k8s-br0.internal': ip,
      [`PTR ${ip}`]: 'web.k8s-br0.internal',
      'AAAA web.k8s-br0.internal': 'ENODATA',
    },
  );
});

names('the host, a fixed host and a line written by hand have their names', async () => {
  writeFileSync(`${directory}/hostsfile`, '02:00:00:00:00:12,192.168.100.12,scanner\n', { flag: 'a' });
  const questions = ['gateway.k8s-br0.internal', 'printer', 'scanner'].map(name => `A ${name}`);
  const expected = ['192.168.100.1', '192.168.100.11', '192.168.100.12'];
  await until(async () => (await ask(client, gateway, 'A scanner'))['A scanner'] === '192.168.100.12');
  assert.deepEqual(Object.values(await ask(client, gateway, ...questions, `PTR ${gateway}`)), [
    ...expected,
    'gateway.k8s-br0.internal',
  ]);
});

names(
  'unknown names and addresses of the network are answered at once, and never asked outside',
  async () => {
    const unknown = ['A nobody', 'A nobody.k8s-br0.internal', 'A wpad', 'PTR 192.168.100.253'];
    assert.deepEqual(Object.values(await ask(client, gateway, ...unknown, 'A example.com')), [
      ...unknown.map(() => 'ENOTFOUND'),
      '198.51.100.7',
    ]);
    const asked = [...readFileSync(upstreamLog, 'utf8').matchAll(/query\[\w+\] (\S+)/g)].map(
      match => match[1],
    );
    assert.deepEqual(
      asked.filter(name => /internal$|arpa$|^\w+$/.test(name ?? '')),
      [],
    );
    assert(asked.includes('example.com'));
  },
);

names(
  'names outside lead to no private address where dnsmasq.d says so, and those of machines stay',
  async () => {
    const rebinding = [gateway, '127.0.0.1', '169.254.169.254'].map(address => `A ${address}.rebind.test`);
    const others = ['A 10.0.0.5.rebind.test', 'A public.test', 'A printer', `A web.k8s-br0.internal`];
    const answers = () => ask(client, gateway, ...rebinding, ...others);
    const before = await answers();
    assert.deepEqual(Object.values(before).slice(0, 4), [
      gateway,
      '127.0.0.1',
      '169.254.169.254',
      '10.0.0.5',
    ]);
    const file = '/etc/virlan/dnsmasq.d/k8s-br0/rebind.conf';
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, 'stop-dns-rebind\nrebind-domain-ok=10.0.0.5.rebind.test\n');
    const isBlocked = async () =>
      !Object.values(await answers())
        .slice(0, rebinding.length)
        .some(isIPv4);
    await until(isBlocked);
    assert.deepEqual(
      Object.values(await answers())
        .slice(rebinding.length)
        .map(isIPv4),
      others.map(() => true),
    );
    rmSync(dirname(file), { recursive: true });
    await until(async () => isDeepStrictEqual(await answers(), before));
  },
);

names('a name that a guest claims by DHCP is not its name, be it reserved, special or free', async () => {
  const web = await ipOf('web');
  for (const hostname of ['web', 'wpad', 'isatap', 'localhost', 'gateway', 'free', 'web.k8s-br0.internal'])
    await dhcp(client, { hostname });
  const questions = ['web', 'wpad', 'isatap', 'gateway', 'free'].map(name => `A ${name}.k8s-br0.internal`);
  assert.deepEqual(Object.values(await ask(client, gateway, ...questions)), [
    web,
    'ENOTFOUND',
    'ENOTFOUND',
    gateway,
    'ENOTFOUND',
  ]);
});

names(
  'entries of dns-host in a libvirt network are served, and removed with it; machines keep theirs',
  async () => {
    const entry = (ip: string, ...hostnames: string[]) =>
      `<host ip='${ip}'>${hostnames.map(name => `<hostname>${name}</hostname>`).join('')}</host>`;
    const update = (command: string, xml: string) =>
      virsh('net-update', 'k8s-br0', command, 'dns-host', xml, '--live', '--config');
    const registry = entry('192.168.100.60', 'registry', 'registry.example.org', 'web', 'no such name');
    await update('add', registry);
    const web = await ipOf('web');
    const questions = ['A registry', 'A registry.example.org', 'A web', 'PTR 192.168.100.60'];
    assert.deepEqual(Object.values(await ask(client, gateway, ...questions)), [
      '192.168.100.60',
      '192.168.100.60',
      web,
      'registry.k8s-br0.internal',
    ]);
    await stopWatcher();
    await update('add', entry('192.168.100.61', 'mirror'));
    assert.equal(
      (await ask(client, gateway, 'A mirror'))['A mirror'],
      '192.168.100.61',
      'without the watcher',
    );
    await startWatcher();
    await update('delete', registry);
    assert.equal((await ask(client, gateway, 'A registry'))['A registry'], 'ENOTFOUND');
    assert.deepEqual(
      (await plannedSteps()).filter(step => /names|dnsmasq|resolved/.test(step)),
      [],
    );
  },
);

names(
  'a start of a known machine writes no names; lost ones are written by the start, or repaired',
  async () => {
    const file = `${directory}/names`;
    await startMachine('web');
    await destroyMachine('web');
    await idle('web');
    const { ino, mtimeMs } = statSync(file);
    await startMachine('web');
    await idle('web');
    assert.deepEqual([statSync(file).ino, statSync(file).mtimeMs], [ino, mtimeMs]);
    await destroyMachine('web');
    const web = await ipOf('web');
    writeFileSync(file, '');
    await until(async () => (await ask(client, gateway, 'A web'))['A web'] === web, 3);
    await stopWatcher();
    writeFileSync(file, '');
    await startMachine('web');
    assert.match(readFileSync(file, 'utf8'), new RegExp(`^${web} web$`, 'm'));
    assert.equal((await ask(client, gateway, 'A web'))['A web'], web);
    await destroyMachine('web');
    await startWatcher();
  },
);

names('a name follows its machine: renamed, undefined, forgotten', async () => {
  await defineMachine('old');
  const ip = await ipOf('old');
  await virsh('domrename', 'old', 'new');
  await idle('new');
  assert.deepEqual(Object.values(await ask(client, gateway, 'A old', 'A new', `PTR ${ip}`)), [
    'ENOTFOUND',
    ip,
    'new.k8s-br0.internal',
  ]);
  await undefine('new');
  await until(async () => (await ask(client, gateway, 'A new'))['A new'] === 'ENOTFOUND');
  await defineMachine('other');
  succeeded(await virlan('forget', 'other'));
  // The watcher reserves once more if the event of its own definition comes after that.
  await until(async () => {
    await virlan('forget', 'other');
    return (await ask(client, gateway, 'A other'))['A other'] === 'ENOTFOUND';
  });
  await undefine('other');
});

names('a machine whose plain name becomes free while it runs gets it when it stops', async () => {
  await defineMachine('Db');
  await defineMachine('db');
  const ip = await ipOf('db');
  const nameOf = async () => Object.values(await ask(client, gateway, `PTR ${ip}`))[0];
  await startMachine('db');
  await undefine('Db');
  await idle('db');
  assert.match((await nameOf()) ?? '', /^db-[0-9a-f]{6}\.k8s-br0\.internal$/);
  await destroyMachine('db');
  await idle('db');
  await until(async () => (await nameOf()) === 'db.k8s-br0.internal', 10);
  assert.equal((await ask(client, gateway, 'A db'))['A db'], ip);
  await undefine('db');
});

names('a dnsmasq that an older virlan started, without the file of names, is replaced by up', async () => {
  await stopWatcher();
  const conf = `${directory}/dnsmasq.conf`;
  const { dnsmasq } = JSON.parse((await virlan('status', '--json')).stdout).networks[0];
  process.kill(dnsmasq.pid, 'SIGTERM');
  const old = readFileSync(conf, 'utf8').replace(/^(addn-hosts|rev-server)=.*\n/gm, '');
  writeFileSync(conf, old);
  await until(
    async () => (await execa('dnsmasq', [`--conf-file=${conf}`], { reject: false })).exitCode === 0,
  );
  assert.equal((await ask(client, gateway, 'A printer'))['A printer'], 'ENOTFOUND');
  succeeded(await virlan('up'));
  assert.equal((await ask(client, gateway, 'A printer'))['A printer'], '192.168.100.11');
  await startWatcher();
});

for (const [subnet, kind] of [
  ['20.30.16.0/20', 'wider than an octet'],
  ['20.30.16.128/25', 'longer than three octets'],
]) {
  names(`addresses of a public subnet, ${kind}, are not asked outside`, async () => {
    writeFileSync('/tmp/names.ini', `[network.public]\nsubnet = ${subnet}\nstp = no\n`);
    succeeded(await virlan('up', '--config', '/tmp/names.ini'));
    writeFileSync(upstreamLog, '');
    const server = subnet === '20.30.16.0/20' ? '20.30.16.1' : '20.30.16.129';
    const own = subnet === '20.30.16.0/20' ? '20.30.31.77' : '20.30.16.200';
    const other = subnet === '20.30.16.0/20' ? '20.30.32.77' : '20.30.16.100';
    const answers = await ask({}, server, `PTR ${own}`, `PTR ${server}`);
    assert.deepEqual(Object.values(answers), ['ENOTFOUND', 'gateway.public.internal']);
    assert.doesNotMatch(readFileSync(upstreamLog, 'utf8'), /in-addr\.arpa/);
    await ask({}, server, `PTR ${other}`);
    assert.match(readFileSync(upstreamLog, 'utf8'), /query\[PTR\] \S+\.20\.in-addr\.arpa/, 'others are');
    succeeded(await virlan('down', 'public', '--config', '/tmp/names.ini'));
  });
}

names.run();
