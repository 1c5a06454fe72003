// Isolated machines: what reaches them, and what they reach.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import { arp, broadcast, frame, icmpv6, linkLocal, neighbour, send, watchFrames } from './frames.ts';
import { type GuardedGuest, guardedGuest, hook } from './guarded-guest.ts';
import {
  configure,
  dhcp,
  host,
  installVirlan,
  internet,
  internetAddress,
  type Namespace,
  probe,
  run,
  serve,
  virlan,
} from './host.ts';
import { until } from './until.ts';

const isolation = suite('isolation');
const gateway = '192.168.100.1';
const port = 7000;
const macs = { one: '52:54:00:00:00:01', two: '52:54:00:00:00:02', alone: '52:54:00:00:00:03' };
const inGroup = `<v:machine xmlns:v='urn:virlan:machine:1' group='a "group"'/>`;
const unguarded = `<v:machine xmlns:v='urn:virlan:machine:1' guard='no'/>`;

const guests: Record<'one' | 'two' | 'alone', GuardedGuest> = {} as never;
const ips = { one: '', two: '', alone: '' };

type Name = keyof typeof ips;

/** Returns whether a machine reaches another by TCP. */
async function reaches(from: Name, to: Name): Promise<boolean> {
  return (await probe(guests[from], { proto: 'tcp', to: ips[to], port, seconds: 1 })) === 'open';
}

isolation('machines of a group reach each other, and none reaches another', async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\nisolate = yes\n');
  assert.equal((await virlan('up')).exitCode, 0);
  guests.one = await guardedGuest('one', { mac: macs.one, metadata: inGroup });
  guests.two = await guardedGuest('two', { mac: macs.two, metadata: inGroup });
  guests.alone = await guardedGuest('alone', { mac: macs.alone, metadata: unguarded });
  for (const name of ['one', 'two', 'alone'] as const) {
    ips[name] = await dhcp(guests[name]);
    await serve(guests[name], { proto: 'tcp', port });
  }
  const plan = await virlan('plan');
  assert.equal(plan.exitCode, 0, plan.stdout);
  assert.deepEqual(await Promise.all([reaches('one', 'two'), reaches('two', 'one')]), [true, true]);
  for (const [from, to] of [
    ['one', 'alone'],
    ['alone', 'one'],
  ] as const)
    assert.equal(await reaches(from, to), false, `${from} → ${to}`);
});

isolation('nor by way of the host, with a route or with a neighbour entry of its own making', async () => {
  const [{ address }] = JSON.parse(await run(host, 'ip', '-json', 'link', 'show', 'k8s-br0'));
  for (const [from, to] of [
    ['one', 'alone'],
    ['alone', 'one'],
  ] as const) {
    await run(guests[from], 'ip', 'route', 'add', `${ips[to]}/32`, 'via', gateway);
    assert.equal(await reaches(from, to), false, `${from} → ${to}`);
    await run(guests[from], 'ip', 'route', 'del', `${ips[to]}/32`);
    await run(guests[from], 'ip', 'neighbour', 'replace', ips[to], 'lladdr', address, 'dev', 'eth0');
    assert.equal(await reaches(from, to), false, `${from} → ${to}`);
    await run(guests[from], 'ip', 'neighbour', 'del', ips[to], 'dev', 'eth0');
  }
});

isolation('machines of a group reach each other directly, and not by way of the host', async () => {
  await run(guests.one, 'ip', 'route', 'add', `${ips.two}/32`, 'via', gateway);
  assert.equal(await reaches('one', 'two'), false);
  await run(guests.one, 'ip', 'route', 'del', `${ips.two}/32`);
  assert.equal(await reaches('one', 'two'), true);
});

isolation('NICs that libvirt isolates reach the host, and not even those of their group', async () => {
  // What libvirt does for <port isolated='yes'/>.
  const isolate = (value: 'on' | 'off') =>
    Promise.all(
      [guests.one, guests.two].map(({ port: tap }) =>
        run(host, 'bridge', 'link', 'set', 'dev', tap, 'isolated', value),
      ),
    );
  await isolate('on');
  assert.deepEqual(await Promise.all([reaches('one', 'two'), reaches('two', 'one')]), [false, false]);
  for (const name of ['one', 'two'] as const)
    assert.equal(await probe(guests[name], { proto: 'icmp', to: gateway }), 'open');
  assert.equal(await reaches('one', 'alone'), false);
  await isolate('off');
  assert.equal(await reaches('one', 'two'), true);
});

isolation('a machine does not even hear broadcasts and IPv6 of others', async () => {
  const [here, there] = [await watchFrames(guests.alone, 'eth0'), await watchFrames(guests.two, 'eth0')];
  const sender = { mac: macs.one, ip: ips.one };
  const numbers = await send(guests.one, [
    frame(broadcast, macs.one, 0x806, arp(1, sender, { mac: '00:00:00:00:00:00', ip: ips.alone })),
    frame(
      macs.alone,
      macs.one,
      0x86dd,
      icmpv6(linkLocal(macs.one), 'ff02::1', neighbour(135, 'fe80::7', macs.one)),
    ),
    frame(broadcast, macs.one, 0x88b5, [0, 0]),
  ]);
  await until(() => there.seen.has(numbers[2] ?? 0));
  assert.deepEqual(
    numbers.filter(number => here.seen.has(number)),
    [],
  );
});

isolation('machines reach the host and the outside, and a translated port reaches them', async () => {
  const outside = await internet();
  await serve(outside, { proto: 'tcp', port });
  await run(
    host,
    'nft',
    `add table ip mine
    add chain ip mine nat { type nat hook prerouting priority -100; }
    add rule ip mine nat tcp dport 8080 dnat to ${ips.alone}:${port}`,
  );
  for (const guest of Object.values(guests)) {
    assert.equal(await probe(guest, { proto: 'icmp', to: gateway }), 'open');
    assert.equal(await probe(guest, { proto: 'tcp', to: internetAddress, port }), 'open');
  }
  for (const value of ['0', '1']) {
    writeFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', value);
    const verdict = (from: Namespace) => probe(from, { proto: 'tcp', to: '203.0.113.1', port: 8080 });
    assert.equal(await verdict(outside), 'open');
    for (const from of [guests.one, guests.alone]) assert.notEqual(await verdict(from), 'open');
    assert.equal(await reaches('one', 'two'), true);
  }
});

isolation('a machine that leaves its group is apart from it, and its return is noticed', async () => {
  const { machine } = guests.two;
  await hook('stopped', machine);
  await hook('start', { ...machine, metadata: '' });
  assert.equal(await reaches('one', 'two'), false);
  await hook('stopped', { ...machine, metadata: '' });
  await hook('start', machine);
  assert.equal(await reaches('one', 'two'), true);
});

isolation.run();
