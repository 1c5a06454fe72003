// Real machines with virlan's hooks and commands, without the watcher.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import { formulaAddressOf } from './formula-values.ts';
import {
  configure,
  create,
  define,
  destroyMachine,
  domainXml,
  installVirlan,
  type Lease,
  leaseOf,
  macsOf,
  type Nic,
  renewed,
  restartLibvirtd,
  startLibvirtd,
  startMachine,
  undefine,
  virlan,
  virsh,
  withHotplug,
} from './host.ts';
import { logLines } from './log.ts';

const machines = suite('machines');
const onBridge: Nic = { type: 'bridge', source: 'k8s-br0' };
const config = '[network.k8s-br0]\nstp = no\n';

interface StatusMachine {
  name: string;
  nic: number;
  mac: string;
  ip: string | null;
  hostname: string;
  state: string;
  tap: string | null;
  lease: { ip: string } | null;
  problem: string | null;
}

async function statusOf(name: string): Promise<StatusMachine[]> {
  const { stdout } = await virlan('status', '--json');
  return JSON.parse(stdout).networks[0].machines.filter((machine: StatusMachine) => machine.name === name);
}

async function boot(name: string, nics: Nic[], metadata?: string): Promise<Lease> {
  await define(domainXml({ name, nics, ...(metadata === undefined ? {} : { metadata }) }));
  await startMachine(name);
  const [mac = ''] = await macsOf(name);
  return leaseOf(mac);
}

machines("at libvirtd's start its default network does not start and virlan's is established", async () => {
  await installVirlan();
  await configure(config);
  await startLibvirtd();
  assert(!existsSync('/sys/class/net/virbr0'));
  assert.match(await virsh('net-list', '--all'), /default +inactive +no/);
  assert.equal((await virlan('plan')).exitCode, 0);
});

machines(
  'up defines k8s-br0 in libvirt, and default as a pass-through while a machine refers to it',
  async () => {
    await define(domainXml({ name: 'old', nics: [{ type: 'network', source: 'default' }] }));
    const { exitCode, stdout } = await virlan('up');
    assert.equal(exitCode, 0);
    assert.match(stdout, /define k8s-br0/);
    const list = await virsh('net-list', '--all');
    assert.match(list, /default +active +yes/);
    assert.match(list, /k8s-br0 +active +yes/);
    assert.match(await virsh('net-dumpxml', 'default'), /<bridge name='k8s-br0'\/>/);
    assert.match(readFileSync('/var/lib/virlan/default-network.json', 'utf8'), /virbr0/);
    assert.doesNotMatch((await virlan('up')).stdout, /define|start|undefine/);
  },
);

machines('each form of NIC gets its formula address from DHCP', async () => {
  const forms: [string, Nic][] = [
    ['on-bridge', onBridge],
    ['on-network', { type: 'network', source: 'k8s-br0' }],
    ['on-default', { type: 'network', source: 'default' }],
  ];
  const leases = await Promise.all(forms.map(([name, nic]) => boot(name, [nic])));
  assert.deepEqual(
    leases.map(({ ip, hostname }) => ({ ip, hostname })),
    forms.map(([name]) => ({ ip: formulaAddressOf(name), hostname: name })),
  );
  for (const [name] of forms) {
    const [machine] = await statusOf(name);
    assert.equal(machine?.state, 'running');
    assert.match(machine?.tap ?? '', /^vnet\d+$/);
    assert.equal(machine?.lease?.ip, formulaAddressOf(name));
  }
  assert.match(
    await virsh('net-dhcp-leases', 'k8s-br0'),
    new RegExp(formulaAddressOf('on-network').replaceAll('.', '\\.')),
  );
  assert.match(
    await virsh('domifaddr', 'on-network'),
    new RegExp(formulaAddressOf('on-network').replaceAll('.', '\\.')),
  );
});

machines('a machine that is undefined and defined again under its name gets its address again', async () => {
  const before = await leaseOf((await macsOf('on-bridge'))[0] ?? '');
  await restartLibvirtd();
  await destroyMachine('on-bridge');
  await startMachine('on-bridge');
  assert.equal((await renewed(before)).ip, before.ip);
  await destroyMachine('on-bridge');
  await undefine('on-bridge');
  const recreated = await boot('on-bridge', [onBridge]);
  assert.equal(recreated.ip, before.ip);
  assert.notEqual(recreated.mac, before.mac);
});

machines(
  'a machine with two NICs has an address on each, and keeps the second when the first is removed',
  async () => {
    const [first, second] = ['52:54:00:0a:00:01', '52:54:00:0a:00:02'];
    const nics = [first, second].map(mac => ({ ...onBridge, mac }));
    await boot('two', nics);
    const entries = await statusOf('two');
    assert.deepEqual(
      entries.map(({ nic, ip }) => [nic, ip]),
      [
        [0, formulaAddressOf('two', 0)],
        [1, formulaAddressOf('two', 1)],
      ],
    );
    assert.notEqual(entries[0]?.hostname, entries[1]?.hostname);
    await destroyMachine('two');
    await virsh('detach-interface', 'two', 'bridge', '--mac', first, '--config');
    await startMachine('two');
    assert.equal((await leaseOf(second)).ip, formulaAddressOf('two', 1));
    await destroyMachine('two');
  },
);

machines('machines with hostile names boot, and only a label of the name enters the hostsfile', async () => {
  const names = ['a,192.168.100.1 "$(touch pwned)" é=x', '24h'];
  for (const name of names) {
    const { hostname } = await boot(name, [onBridge]);
    assert.match(hostname ?? '', /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
    await destroyMachine(name);
  }
  // Only `virsh create` accepts a newline.
  const hostile = 'x\n52:54:00:00:00:66,192.168.100.66';
  await create(domainXml({ name: hostile, nics: [{ ...onBridge, mac: '52:54:00:0a:00:05' }] }));
  assert.match((await leaseOf('52:54:00:0a:00:05')).hostname ?? '', /^x-52-54/);
  assert.doesNotMatch(readFileSync('/var/lib/dnsmasq/k8s-br0/hostsfile', 'utf8'), /^(?!.* # virlan$)./m);
  assert(!existsSync('/pwned'));
  const { stdout } = await virlan('status');
  assert.doesNotMatch(stdout, /^52:54/m);
  await virsh('destroy', '--domain', hostile);
});

machines('metadata sets address and host name', async () => {
  const metadata = `<v:machine xmlns:v='urn:virlan:machine:1' ip='192.168.100.50' hostname='chosen'/>`;
  const { ip, hostname } = await boot('chooser', [onBridge], metadata);
  assert.deepEqual({ ip, hostname }, { ip: '192.168.100.50', hostname: 'chosen' });
  await destroyMachine('chooser');
});

machines('of two machines with one MAC the second starts too, and status shows the problem', async () => {
  const twins = { ...onBridge, mac: '52:54:00:0a:00:07' };
  await boot('first-twin', [twins]);
  await define(domainXml({ name: 'second-twin', nics: [twins] }));
  await startMachine('second-twin');
  assert.equal((await statusOf('first-twin'))[0]?.ip, formulaAddressOf('first-twin'));
  const [second] = await statusOf('second-twin');
  assert.deepEqual([second?.state, second?.ip], ['running', null]);
  assert.match(second?.problem ?? '', /52:54:00:0a:00:07 is also that of first-twin/);
  for (const name of ['first-twin', 'second-twin']) await destroyMachine(name);
});

machines(
  'a machine with the MAC of the gateway starts, and status and the doctor say what is wrong',
  async () => {
    const mac = readFileSync('/sys/class/net/k8s-br0/address', 'utf8').trim();
    await define(domainXml({ name: 'gateway-twin', nics: [{ ...onBridge, mac }] }));
    await startMachine('gateway-twin');
    const [twin] = await statusOf('gateway-twin');
    const text = `MAC ${mac} is that of the gateway, so nothing reaches it: give its NIC another`;
    assert.deepEqual([twin?.state, twin?.ip, twin?.problem], ['running', null, text]);
    const { checks } = JSON.parse((await virlan('doctor', 'gateway-twin', '--json')).stdout);
    const found = checks.find(({ check }: { check: string }) => check === 'reservation');
    assert.deepEqual([found.state, found.seen], ['fail', text]);
    await destroyMachine('gateway-twin');
  },
);

machines('a NIC plugged into a running machine gets a reservation', async () => {
  const mac = '52:54:00:0a:00:08';
  await define(withHotplug(domainXml({ name: 'hot', nics: [onBridge] })));
  await startMachine('hot');
  await virsh('attach-interface', 'hot', 'network', 'k8s-br0', '--mac', mac, '--model', 'virtio', '--live');
  const plugged = (await statusOf('hot')).find(entry => entry.mac === mac);
  assert.deepEqual([plugged?.nic, plugged?.ip, plugged?.hostname], [1, formulaAddressOf('hot', 1), 'hot-1']);
  await destroyMachine('hot');
});

machines('forget refuses a running machine, and forgets one that is shut off', async () => {
  const refused = await virlan('forget', 'on-network');
  assert.equal(refused.exitCode, 1);
  assert.match(refused.stderr, /running/);
  await destroyMachine('on-network');
  assert.equal((await virlan('forget', 'on-network')).exitCode, 0);
  assert.doesNotMatch(readFileSync('/var/lib/dnsmasq/k8s-br0/hostsfile', 'utf8'), /,on-network /);
  assert.equal((await virlan('forget', 'on-network')).exitCode, 1);
});

machines('up adds the tap of a running machine to a bridge that was deleted', async () => {
  const [before] = await statusOf('on-default');
  const tap = before?.tap ?? '';
  await virlan('down');
  assert(!existsSync(`/sys/class/net/${tap}/brport`));
  assert.equal((await virlan('up')).exitCode, 0);
  assert(existsSync(`/sys/class/net/k8s-br0/brif/${tap}`));
});

machines('when virlan fails, on-error decides whether the machine starts', async () => {
  const ledger = '/var/lib/virlan/ledger.jsonl';
  const intact = readFileSync(ledger);
  writeFileSync(ledger, 'damaged\n');
  await startMachine('on-network');
  await destroyMachine('on-network');
  assert.match(JSON.stringify(logLines().at(-1)), /ledger\.jsonl: line 1/);
  await configure(`${config}on-error = abort\n`);
  await assert.rejects(startMachine('on-network'), /virlan: no reservation for .*ledger\.jsonl: line 1/);
  assert.equal(readFileSync(ledger, 'utf8'), 'damaged\n');
  writeFileSync(ledger, intact);
  await startMachine('on-network');
});

machines.run();
