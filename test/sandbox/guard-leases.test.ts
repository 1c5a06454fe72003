// Checks that the address that a running machine still uses belongs to it as well as the one that it was given since.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import { arp, type Bytes, broadcast, frame, send, slot, watchFrames } from './frames.ts';
import { type GuardedGuest, guardedGuest, hook } from './guarded-guest.ts';
import { configure, dhcp, domainXml, host, installVirlan, probe, run, virlan } from './host.ts';
import { until } from './until.ts';

const leased = suite('guard, leases');
const gateway = '192.168.100.1';
const strict = (ip = '') => `<v:machine xmlns:v='urn:virlan:machine:1' guard='strict' ${ip}/>`;

let bob: GuardedGuest;
let eve: GuardedGuest;
let before = '';

/** Does what follows a change of bob's metadata while it runs. */
async function change(metadata: string): Promise<void> {
  const changed = { ...bob.machine, metadata };
  await hook('prepare', changed);
  mkdirSync('/run/libvirt/qemu', { recursive: true });
  writeFileSync('/run/libvirt/qemu/bob.xml', `<domstatus state='running'>${domainXml(changed)}</domstatus>`);
  assert.equal((await virlan('up')).exitCode, 0);
}

async function isInSet(set: string, ip: string): Promise<boolean> {
  const text = await run(host, 'nft', '-n', 'list', 'set', 'bridge', 'virlan-k8s-br0', set);
  return new RegExp(`[ "]${ip.replaceAll('.', '\\.')}[ ,]`).test(text);
}

/** Returns whether the host sees a gratuitous ARP of eve's for an address. */
async function passes(ip: string): Promise<boolean> {
  const sight = await watchFrames(host, 'k8s-br0');
  const gratuitous = arp(1, { mac: eve.mac, ip }, { mac: '00:00:00:00:00:00', ip });
  const frames: Bytes[] = [
    frame(broadcast, eve.mac, 0x806, [...gratuitous, ...slot]),
    frame(broadcast, eve.mac, 0x88b5, [0, 0]),
  ];
  const [attack = 0, last = 0] = await send(eve, frames);
  await until(() => sight.seen.has(last));
  sight.stop();
  return sight.seen.has(attack);
}

leased('a machine keeps the address of its lease, also with strict, and nobody else may use it', async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\n');
  assert.equal((await virlan('up')).exitCode, 0);
  bob = await guardedGuest('bob', { mac: '52:54:00:00:00:0b', metadata: strict() });
  eve = await guardedGuest('eve', { mac: '52:54:00:00:00:0e' });
  [before] = [await dhcp(bob), await dhcp(eve)];
  await change(strict());
  assert.equal(await probe(bob, { proto: 'icmp', to: gateway }), 'open');
  await change(strict("ip='192.168.100.50'"));
  assert.equal((await virlan('ip', 'bob')).stdout, '192.168.100.50');
  assert.equal(await probe(bob, { proto: 'icmp', to: gateway }), 'open');
  assert.equal(await passes(before), false);
  assert.equal(await passes('192.168.100.50'), false);
});

leased('that ends with the lease', async () => {
  assert.equal(await dhcp(bob), '192.168.100.50');
  assert.equal((await virlan('up')).exitCode, 0);
  assert.deepEqual([await isInSet('own4', before), await isInSet('addr4', before)], [false, false]);
  assert.equal(await probe(bob, { proto: 'icmp', to: gateway }), 'open');
  assert.equal(await passes(before), true);
});

leased('an address that is reserved for another machine is its own in spite of a lease', async () => {
  await change(strict("ip='192.168.100.51'"));
  assert(await isInSet('own4', '192.168.100.50'));
  const metadata = `<v:machine xmlns:v='urn:virlan:machine:1' ip='192.168.100.50'/>`;
  const dan = {
    name: 'dan',
    nics: [{ type: 'bridge' as const, source: 'k8s-br0', mac: '52:54:00:00:00:0d' }],
  };
  await hook('prepare', { ...dan, metadata });
  assert.equal((await virlan('up')).exitCode, 0);
  assert.deepEqual(
    [await isInSet('own4', '192.168.100.50'), await isInSet('addr4', '192.168.100.50')],
    [false, true],
  );
});

leased.run();
