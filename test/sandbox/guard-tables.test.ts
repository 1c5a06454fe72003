// Machines that try to fill the tables that all machines share: the host's neighbours, and the bridge's groups.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { suite } from 'uvu';
import {
  arp,
  type Bytes,
  broadcast,
  frame,
  igmp,
  ip4Bytes,
  ip6Bytes,
  ipv4,
  joins,
  linkLocal,
  neighbour,
  type Sight,
  send,
  udp,
  validIcmpv6,
  watchFrames,
  withRouterAlert,
} from './frames.ts';
import { type GuardedGuest, guardedGuest } from './guarded-guest.ts';
import { configure, dhcp, domainXml, host, installVirlan, run, virlan } from './host.ts';
import { until } from './until.ts';

const tables = suite('guard, tables');
const bridge = 'k8s-br0';
const gateway = '10.77.0.1';
const nobody = '00:00:00:00:00:00';
const mac = '52:54:00:00:00:0e';
/** The number that docs/guard.md allows a tap, and the number that it may have again during a test. */
const mostNeighbours = 128 + 10;
const mostGroups = 256 + 30;

let eve: GuardedGuest;
let bob: GuardedGuest;
let sight: Sight;
let ips = { eve: '', bob: '' };
let macs = { gateway: '', tap: '' };

tables.before(async () => {
  await installVirlan();
  await configure(
    `[network.${bridge}]\nstp = no\nsubnet = 10.77.0.0/16\ndhcp-range = 10.77.0.2-10.77.0.99\n`,
  );
  const { exitCode, stderr } = await virlan('up');
  assert.equal(`${stderr}${exitCode}`, '0');
  eve = await guardedGuest('eve', { mac });
  bob = await guardedGuest('bob', { mac: '52:54:00:00:00:0b' });
  ips = { eve: await dhcp(eve), bob: await dhcp(bob) };
  const macOf = (link: string) => readFileSync(`/sys/class/net/${link}/address`, 'utf8').trim();
  macs = { gateway: macOf(bridge), tap: macOf(eve.port) };
  sight = await watchFrames(host, bridge);
});

/** Sends frames of eve's. Returns how many the host has seen. */
async function seenOf(frames: readonly Bytes[]): Promise<number> {
  const marker = frame(broadcast, mac, 0x88b5, [0, 0]);
  const numbers = await send(eve, [...frames, marker]);
  const last = numbers.pop() ?? 0;
  await until(() => sight.seen.has(last));
  return numbers.filter(number => sight.seen.has(number)).length;
}

let blocks = 0;

/** Returns addresses that nobody has used before, of the subnet or of another one. */
function unused(count: number, subnet = '10.77'): string[] {
  const first = 100 + 2 * blocks++;
  return Array.from({ length: count }, (_, index) => `${subnet}.${first + (index >> 8)}.${index & 255}`);
}

/** Returns how many neighbours the host has in the network. */
async function neighbours(...family: string[]): Promise<number> {
  return JSON.parse(await run(host, 'ip', '-json', ...family, 'neigh', 'show', 'dev', bridge)).length;
}

/** Makes the guard count from the beginning. */
async function countAnew(): Promise<void> {
  await run(host, 'nft', 'delete', 'table', 'bridge', `virlan-${bridge}`);
  assert.equal((await virlan('up')).exitCode, 0);
}

async function forgetNeighbours(): Promise<void> {
  await countAnew();
  await run(host, 'ip', 'neigh', 'flush', 'dev', bridge, 'nud', 'all');
}

function packet(from: string, to: string, receiver = macs.gateway): Bytes {
  return frame(receiver, mac, 0x800, ipv4(from, to, 17, udp(7, 7777, [])));
}

function asks(ip: string, sender = mac): Bytes {
  return frame(broadcast, sender, 0x806, arp(1, { mac: sender, ip }, { mac: nobody, ip: gateway }));
}

/** By what the host gets new neighbours from: the frame with an address that nobody has. */
const ways: Readonly<Record<string, (address: string) => Bytes>> = {
  'an ARP request': address => asks(address),
  'a packet to the host, which answers it': address => packet(address, gateway),
  'such a packet to the MAC of the tap': address => packet(address, gateway, macs.tap),
  'a packet to the outside, which is refused': address => packet(address, '203.0.113.5'),
  'a packet to an address of the subnet by way of the host': address => packet(ips.eve, address),
  'such a packet from another network': address => packet('10.99.1.1', address),
};

tables('no machine fills the neighbour table, and the host reaches the others meanwhile', async () => {
  await forgetNeighbours();
  const found: Record<string, number> = {};
  for (const [what, way] of Object.entries(ways)) {
    const before = await neighbours();
    await seenOf(unused(400).map(way));
    found[what] = (await neighbours()) - before;
    await run(host, 'ping', '-c1', '-W2', ips.bob);
  }
  const all = await neighbours();
  assert(all > 0 && all <= mostNeighbours, JSON.stringify(found));
});

tables('by IPv6, the host has no neighbours, also where another program turned it on', async () => {
  const path = `/proc/sys/net/ipv6/conf/${bridge}/disable_ipv6`;
  writeFileSync(path, '0');
  const own6 = await run(host, 'ip', '-6', '-o', 'address', 'show', 'dev', bridge);
  assert.match(own6, /fe80::/);
  const ask = neighbour(135, linkLocal(macs.gateway), mac);
  const from = (index: number) => validIcmpv6(`fe80::${index + 1}`, 'ff02::1', ask);
  await seenOf(Array.from({ length: 20 }, (_, index) => frame(broadcast, mac, 0x86dd, from(index))));
  assert.equal(await neighbours('-6'), 0);
  assert.equal((await virlan('up')).exitCode, 0);
  assert.equal(readFileSync(path, 'utf8').trim(), '1');
});

tables('100 nested machines with addresses of their own reach the host', async () => {
  await forgetNeighbours();
  const nested = unused(100).map((ip, index) => ({
    ip,
    mac: `52:54:00:00:bb:${index.toString(16).padStart(2, '0')}`,
  }));
  const frames = nested.flatMap(each => [
    asks(each.ip, each.mac),
    frame(macs.gateway, each.mac, 0x800, ipv4(each.ip, gateway, 17, udp(7, 7777, []))),
  ]);
  assert.equal(await seenOf([...frames, ...frames]), 2 * frames.length);
});

tables('packets of a machine that routes pass, whatever number of senders they are from', async () => {
  const senders = unused(400, '10.99');
  assert.equal(await seenOf(senders.map(each => packet(each, '203.0.113.5'))), senders.length);
});

/** Returns how many groups the bridge has at eve's port. */
async function groups(): Promise<number> {
  const [{ mdb }] = JSON.parse(await run(host, 'bridge', '-json', 'mdb', 'show', 'dev', bridge));
  return mdb.filter(({ port }: { port: string }) => port === eve.port).length;
}

/** Returns the number of groups that are added by frames of eve's. */
async function groupsBy(frames: readonly Bytes[]): Promise<number> {
  const before = await groups();
  await seenOf(frames);
  return (await groups()) - before;
}

let joined = 0;

/** Returns groups that nobody has joined. */
function newGroups(count: number): { ip4: string; ip6: string }[] {
  return Array.from({ length: count }, () => {
    joined += 1;
    return { ip4: `239.1.${joined >> 8}.${joined & 255}`, ip6: `ff05::7:${joined.toString(16)}` };
  });
}

/** Returns lists of so many each. */
function split<Item>(all: readonly Item[], size: number): Item[][] {
  const count = Math.ceil(all.length / size);
  return Array.from({ length: count }, (_, index) => all.slice(index * size, (index + 1) * size));
}

function igmpFrame(message: Bytes): Bytes {
  return frame('01:00:5e:00:00:16', mac, 0x800, igmp(ips.eve, '224.0.0.22', message));
}

function mldFrame(message: Bytes): Bytes {
  const report = validIcmpv6(linkLocal(mac), 'ff02::16', message);
  return frame('33:33:00:00:00:16', mac, 0x86dd, withRouterAlert(report));
}

/** By kind of report: frames that join a number of groups. */
const reports: Readonly<Record<string, (count: number) => Bytes[]>> = {
  IGMPv1: count => newGroups(count).map(({ ip4 }) => igmpFrame([0x12, 0, 0, 0, ...ip4Bytes(ip4)])),
  IGMPv2: count => newGroups(count).map(({ ip4 }) => igmpFrame([0x16, 0, 0, 0, ...ip4Bytes(ip4)])),
  MLDv1: count => newGroups(count).map(({ ip6 }) => mldFrame([131, 0, 0, 0, 0, 0, 0, 0, ...ip6Bytes(ip6)])),
  'IGMPv3, each alone': count => igmpv3(count, 1),
  'IGMPv3, few at once': count => igmpv3(count, 4),
  'MLDv2, each alone': count => mldv2(count, 1),
  'MLDv2, few at once': count => mldv2(count, 4),
};

function igmpv3(count: number, atOnce: number): Bytes[] {
  return split(newGroups(count), atOnce).map(each =>
    igmpFrame(
      joins(
        0x22,
        each.map(({ ip4 }) => ip4Bytes(ip4)),
      ),
    ),
  );
}

function mldv2(count: number, atOnce: number): Bytes[] {
  return split(newGroups(count), atOnce).map(each =>
    mldFrame(
      joins(
        143,
        each.map(({ ip6 }) => ip6Bytes(ip6)),
      ),
    ),
  );
}

tables('a machine joins some hundred multicast groups, by any report', async () => {
  await countAnew();
  for (const [kind, make] of Object.entries(reports)) {
    const frames = make(28);
    assert.equal(await groupsBy([...frames, ...frames, ...frames]), 28, kind);
  }
  assert.equal(await groupsBy(igmpv3(250, 125)), 250);
  assert.equal(await groupsBy(mldv2(50, 50)), 50);
});

tables('no machine joins so many that the bridge sends all multicast to all', async () => {
  await countAnew();
  const found: Record<string, number> = {};
  for (const [kind, make] of Object.entries(reports)) found[kind] = await groupsBy(make(400));
  const all = Object.values(found).reduce((sum, each) => sum + each, 0);
  assert(all > 0 && all <= mostGroups, JSON.stringify(found));
  await countAnew();
  const long = await groupsBy([...mldv2(350, 70), ...igmpv3(1000, 180)]);
  assert(long > 0 && long <= 550, `${long}`);
  // Behind the source of the first record, the second one is somewhere else.
  const hidden = newGroups(300).map(({ ip4 }) =>
    igmpFrame([
      0x22,
      0,
      0,
      0,
      0,
      0,
      0,
      2,
      4,
      0,
      0,
      1,
      239,
      9,
      9,
      9,
      10,
      0,
      0,
      1,
      4,
      0,
      0,
      0,
      ...ip4Bytes(ip4),
    ]),
  );
  assert((await groupsBy(hidden)) <= 150);
  assert.equal(readFileSync(`/sys/class/net/${bridge}/bridge/multicast_snooping`, 'utf8').trim(), '1');
});

tables('the doctor says so, and there is nothing to repair', async () => {
  await countAnew();
  await seenOf([...unused(200).map(address => asks(address)), ...igmpv3(400, 4)]);
  const running = '/run/libvirt/qemu/eve.xml';
  mkdirSync(dirname(running), { recursive: true });
  writeFileSync(running, `<domstatus state='running'>${domainXml(eve.machine)}</domstatus>`);
  const { stdout } = await virlan('doctor', 'eve', '--json');
  rmSync(running);
  const found = JSON.parse(stdout).checks.find(({ check }: { check: string }) => check === 'guard');
  assert.match(
    found.seen,
    /\d+ from, or to by way of the host, more than 128 addresses that are not its own/,
  );
  assert.match(found.seen, /\d+ that join more than 256 multicast groups/);
  const plan = await virlan('plan');
  assert.equal(plan.exitCode, 0, plan.stdout);
});

tables.run();
