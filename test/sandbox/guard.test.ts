// The guard: what machines cannot send, whoever receives it, and what they can.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { execa } from 'execa';
import { suite } from 'uvu';
import { countedOfPort } from '../../src/guard/denials.ts';
import {
  arp,
  type Bytes,
  behindOptions,
  broadcast,
  dhcpMessage,
  fragment6,
  frame,
  icmpv6,
  ip6Bytes,
  ipv4,
  ipv6,
  joins,
  linkLocal,
  macBytes,
  neighbour,
  type Sight,
  send,
  serviceTagged,
  slot,
  tagged,
  udp,
  watchFrames,
} from './frames.ts';
import { type GuardedGuest, guardedGuest, hook } from './guarded-guest.ts';
import {
  capture,
  checkout,
  configure,
  dhcp,
  domainXml,
  guest,
  host,
  installVirlan,
  remove,
  run,
  virlan,
  within,
} from './host.ts';
import { restorePrograms, stubProgram } from './program-stubs.ts';
import { until } from './until.ts';

const guard = suite('guard');

const gatewayIp = '192.168.100.1';
const nobody = '00:00:00:00:00:00';
const macs = { eve: '52:54:00:00:00:0e', bob: '52:54:00:00:00:0b', off: '52:54:00:00:00:0f' };
const nestedMac = '52:54:00:00:aa:01';
const printer = { mac: '52:54:00:00:00:10', ip: '192.168.100.10' };

let eve: GuardedGuest;
let bob: GuardedGuest;
let gatewayMac = '';
let ips = { eve: '', bob: '', off: '' };
const sights: Record<'host' | 'bob', Sight> = {} as never;

/** Returns the port at which the bridge has learned a MAC; null if it has not. */
async function learnedAt(mac: string): Promise<string | null> {
  const entries = JSON.parse(await run(host, 'bridge', '-json', 'fdb', 'show', 'br', 'k8s-br0'));
  const found = entries.find(
    (entry: { mac: string; state?: string }) => entry.mac === mac && entry.state !== 'permanent',
  );
  return found?.ifname ?? null;
}

/** Returns a frame that passes in each mode, and is seen after all those before it. */
function marker(): Bytes {
  const own = { mac: macs.eve, ip: ips.eve };
  return frame(broadcast, macs.eve, 0x806, [...arp(1, own, { mac: nobody, ip: ips.bob }), ...slot]);
}

/** Sends frames of eve's. Returns for each where it was seen. */
async function arrivals(frames: readonly Bytes[]): Promise<string[][]> {
  const numbers = await send(eve, [...frames, marker()]);
  const last = numbers.pop() ?? 0;
  const places = Object.entries(sights);
  assert.equal(places.length, 2);
  await until(() => places.every(([, { seen }]) => seen.has(last)));
  return numbers.map(number => places.flatMap(([place, { seen }]) => (seen.has(number) ? [place] : [])));
}

type Attack = (to: string) => Bytes;

/** Frames that eve sends as somebody else, who has this MAC and these addresses. */
function attacksAs(name: string, other: { mac: string; ip: string }): Record<string, Attack> {
  const own = { mac: macs.eve, ip: ips.eve };
  const target = { mac: nobody, ip: ips.bob };
  const others6 = linkLocal(other.mac);
  const own6 = linkLocal(macs.eve);
  // What its system makes of a prefix that a router advertises.
  const others6Wide = others6.replace('fe80::', 'fd00:1:2:3:');
  const all = 'ff02::1';
  const arpFrame = (to: string, message: Bytes) => frame(to, macs.eve, 0x806, message);
  const nd = (to: string, from: string, message: Bytes) =>
    frame(to, macs.eve, 0x86dd, icmpv6(from, all, message));
  const attacks: Record<string, Attack> = {
    'ARP request from its address': to => arpFrame(to, arp(1, { ...own, ip: other.ip }, target)),
    'ARP answer with its address': to => arpFrame(to, arp(2, { ...own, ip: other.ip }, target)),
    'gratuitous ARP': to => arpFrame(to, arp(1, { ...own, ip: other.ip }, { mac: nobody, ip: other.ip })),
    'ARP with its MAC inside': to => arpFrame(to, arp(2, { ...own, mac: other.mac }, target)),
    'ARP probe for its address': to =>
      arpFrame(to, arp(1, { ...own, ip: '0.0.0.0' }, { mac: nobody, ip: other.ip })),
    'IPv4 from its address': to => frame(to, macs.eve, 0x800, ipv4(other.ip, ips.bob, 17, udp(7, 7, [1, 2]))),
    'IPv4 behind a tag of VLAN 0': to =>
      tagged(frame(to, macs.eve, 0x800, ipv4(other.ip, ips.bob, 17, udp(7, 7, [1, 2]))), 0),
    'IPv4 behind two tags of VLAN 0': to =>
      tagged(frame(to, macs.eve, 0x800, ipv4(other.ip, ips.bob, 17, udp(7, 7, [1, 2]))), 0, 0),
    'IPv4 behind a service tag of VLAN 0': to =>
      serviceTagged(frame(to, macs.eve, 0x800, ipv4(other.ip, ips.bob, 17, udp(7, 7, [1, 2]))), 0),
    'IPv4 behind a service tag of VLAN 0, and another': to =>
      serviceTagged(tagged(frame(to, macs.eve, 0x800, ipv4(other.ip, ips.bob, 17, udp(7, 7, [1, 2]))), 5), 0),
    'IPv4 behind two service tags': to =>
      serviceTagged(
        serviceTagged(frame(to, macs.eve, 0x800, ipv4(other.ip, ips.bob, 17, udp(7, 7, [1, 2]))), 5),
        5,
      ),
    'IPv6 from its address': to => frame(to, macs.eve, 0x86dd, ipv6(others6, all, 17, udp(7, 7, [1, 2]))),
    'IPv6 from its address with another prefix': to =>
      frame(to, macs.eve, 0x86dd, ipv6(others6Wide, all, 17, udp(7, 7, [1, 2]))),
    'neighbour advertisement for its address with another prefix': to =>
      nd(to, own6, neighbour(136, others6Wide, macs.eve)),
    'duplicate address detection for its address with another prefix': to =>
      nd(to, '::', neighbour(135, others6Wide, null)),
    'neighbour advertisement for its address': to => nd(to, own6, neighbour(136, others6, macs.eve)),
    'neighbour advertisement with its MAC': to => nd(to, own6, neighbour(136, own6, other.mac)),
    'neighbour solicitation from its address': to => nd(to, others6, neighbour(135, own6, macs.eve)),
    'neighbour solicitation with its MAC': to => nd(to, own6, neighbour(135, 'fe80::77', other.mac)),
    'neighbour advertisement behind an extension header': to =>
      frame(to, macs.eve, 0x86dd, behindOptions(icmpv6(own6, all, neighbour(136, others6, macs.eve)))),
    'duplicate address detection for its address': to => nd(to, '::', neighbour(135, others6, null)),
    'first fragment of a neighbour advertisement, which ends before its address': to =>
      frame(
        to,
        macs.eve,
        0x86dd,
        behindOptions(fragment6(icmpv6(own6, all, neighbour(136, others6, macs.eve)), 0, 16)),
      ),
    'frame from its MAC': to => frame(to, other.mac, 0x88b5, [0, 0]),
    'frame from its MAC to the bridge': () => frame('01:80:c2:00:00:0e', other.mac, 0x88cc, [0, 0]),
  };
  return Object.fromEntries(Object.entries(attacks).map(([what, attack]) => [`${name}: ${what}`, attack]));
}

/** Frames that only the host may send. */
function attacksAsServer(ip = ips.eve): Record<string, Attack> {
  const own6 = linkLocal(macs.eve);
  const packet6 = (to: string, packet: Bytes) => frame(to, macs.eve, 0x86dd, packet);
  const packet4 = (to: string, packet: Bytes) => frame(to, macs.eve, 0x800, packet);
  const answer = [2, ...dhcpMessage(2, macs.bob).slice(1)];
  // A header of 24 bytes with options, and the first bytes of what is behind it.
  const padding = [2, 1, 20, ...slot, 0, 0, ...Array<number>(8).fill(0)];
  const refused = ipv4(ips.bob, gatewayIp, 17, udp(9, 53, []));
  return {
    'DHCP answer': to => packet4(to, ipv4(ip, '255.255.255.255', 17, udp(67, 68, answer))),
    'DHCP answer from another port': to => packet4(to, ipv4(ip, ips.bob, 17, udp(1067, 68, answer))),
    'DHCPv6 answer': to => packet6(to, ipv6(own6, 'ff02::1', 17, udp(547, 546, [7, 0, 0, 1]))),
    'router advertisement': to =>
      packet6(to, icmpv6(own6, 'ff02::1', [134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0])),
    'router advertisement behind an extension header': to =>
      packet6(
        to,
        behindOptions(icmpv6(own6, 'ff02::1', [134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0])),
      ),
    'first fragment of IPv6 that ends before the type of an ICMPv6 message': to =>
      packet6(to, fragment6(ipv6(own6, 'ff02::1', 60, [58, ...padding]), 0, 24)),
    'first fragment of IPv6 that ends before the port of a DHCPv6 answer': to =>
      packet6(to, fragment6(ipv6(own6, 'ff02::1', 60, [17, ...padding]), 0, 24)),
    'redirect of IPv6': to =>
      packet6(to, icmpv6(own6, 'ff02::1', [137, 0, 0, 0, 0, 0, 0, 0, ...Array<number>(32).fill(1)])),
    'query of IPv6 for multicast groups': to =>
      packet6(to, icmpv6(own6, 'ff02::1', [130, 0, 0, 0, 0, 1, 0, 0, ...Array<number>(16).fill(0)])),
    'query of IPv4 for multicast groups': to =>
      packet4(to, ipv4(ip, '224.0.0.1', 2, [0x11, 100, 0, 0, 0, 0, 0, 0, ...slot])),
    'hello of a multicast router (PIM)': to =>
      packet4(to, ipv4(ip, '224.0.0.13', 103, [0x20, 0, 0xdf, 0xff, ...slot])),
    'advertisement of an IPv4 multicast router': to =>
      packet4(to, ipv4(ip, '224.0.0.106', 2, [0x30, 20, 0, 0, 0, 0, 0, 0, ...slot])),
    'advertisement of an IPv6 multicast router': to =>
      packet6(to, icmpv6(own6, 'ff02::6a', [151, 20, 0, 0, 0, 0, 0, 0])),
    'router advertisement of IPv4': to =>
      packet4(to, ipv4(ip, '224.0.0.1', 1, [9, 0, 0, 0, 1, 2, 7, 8, ...slot])),
    'redirect of IPv4': to => packet4(to, ipv4(ip, ips.bob, 1, [5, 1, 0, 0, 192, 168, 100, 9, ...slot])),
    ...Object.fromEntries(
      Object.entries({
        unreachable: 3,
        'source quench': 4,
        'time exceeded': 11,
        'parameter problem': 12,
      }).map(([what, type]) => [
        `error of ICMP about a packet to the gateway: ${what}`,
        (to: string) => packet4(to, ipv4(ip, ips.bob, 1, [type, 1, ...Array<number>(6).fill(0), ...refused])),
      ]),
    ),
    'IPv4 to an address of bridges': () => packet4('01:80:c2:00:00:0e', ipv4(ip, ips.bob, 17, udp(9, 9, []))),
    BPDU: () => frame('01:80:c2:00:00:00', macs.eve, 38, [0x42, 0x42, 3, ...Array<number>(35).fill(0)]),
  };
}

/** The same frames behind a tag: of VLAN 0, which receivers remove, and of another. */
function behindTags(attacks: Record<string, Attack>): Record<string, Attack> {
  const entries = [0, 5].flatMap(vlan =>
    Object.entries(attacks).map(
      ([what, attack]) =>
        [`${what}, behind a tag of VLAN ${vlan}`, (to: string) => tagged(attack(to), vlan)] as const,
    ),
  );
  return Object.fromEntries(entries);
}

/** Answers of DHCP with headers of IPv4 that the kernel takes for invalid, and clients that read frames do not. */
function malformedAnswers(): Record<string, Attack> {
  const answer = [2, ...dhcpMessage(2, macs.bob).slice(1)];
  const packet = ipv4(ips.eve, '255.255.255.255', 17, udp(67, 68, answer));
  const withBytes = (at: number, ...bytes: Bytes) => [
    ...packet.slice(0, at),
    ...bytes,
    ...packet.slice(at + bytes.length),
  ];
  const packets = {
    'of version 5': withBytes(0, 0x55),
    'without a length': withBytes(2, 0, 0),
    'longer than its frame': withBytes(2, 0xff, 0xff),
    'with a short header': withBytes(0, 0x44),
  };
  return Object.fromEntries(
    Object.entries(packets).map(([what, each]) => [
      `DHCP answer ${what}`,
      (to: string) => frame(to, macs.eve, 0x800, each),
    ]),
  );
}

async function up(...lines: readonly string[]): Promise<void> {
  const stp = lines.some(line => line.startsWith('stp')) ? [] : ['stp = no'];
  const text = ['[network.k8s-br0]', ...stp, ...lines, '[host.printer]', 'network = k8s-br0'];
  await configure([...text, `mac = ${printer.mac}`, `ip = ${printer.ip}`, ''].join('\n'));
  const { exitCode, stderr } = await virlan('up');
  assert.equal(`${stderr}${exitCode}`, '0');
}

async function assertDropped(attacks: Record<string, Attack>): Promise<void> {
  const targets = [gatewayMac, macs.bob, broadcast];
  const names = Object.keys(attacks);
  const found = await arrivals(Object.values(attacks).flatMap(attack => targets.map(attack)));
  const passed = found.flatMap((places, index) =>
    places.length === 0 ? [] : [`${names[Math.floor(index / 3)]} → ${places}`],
  );
  assert.deepEqual(passed, []);
}

guard('the taps of machines that start are bound, and the plan is empty', async () => {
  await installVirlan();
  await up();
  [bob, eve] = [await guardedGuest('bob', { mac: macs.bob }), await guardedGuest('eve', { mac: macs.eve })];
  await hook('prepare', { name: 'off', nics: [{ type: 'bridge', source: 'k8s-br0', mac: macs.off }] });
  gatewayMac = JSON.parse(await run(host, 'ip', '-json', 'link', 'show', 'k8s-br0'))[0].address;
  ips = { eve: await dhcp(eve), bob: await dhcp(bob), off: (await virlan('ip', 'off')).stdout };
  assert.equal((await virlan('up')).exitCode, 0);
  const plan = await virlan('plan');
  assert.equal(plan.exitCode, 0, plan.stdout);
  sights.host = await watchFrames(host, 'k8s-br0');
  sights.bob = await watchFrames(bob, 'eth0');
});

guard('nothing arrives that is sent as somebody else, and the bridge learns nothing from it', async () => {
  const others = {
    bob: { mac: macs.bob, ip: ips.bob },
    gateway: { mac: gatewayMac, ip: gatewayIp },
    'a machine that is off': { mac: macs.off, ip: ips.off },
    'a device': printer,
  };
  await run(bob, 'ping', '-c1', '-W2', gatewayIp);
  for (const [name, other] of Object.entries(others)) {
    const attacks = attacksAs(name, other);
    await assertDropped({ ...attacks, ...behindTags(attacks) });
  }
  assert.equal(await learnedAt(macs.bob), bob.port);
  assert.equal(await learnedAt(macs.off), null);
  assert.equal(await learnedAt(printer.mac), null);
  assert.equal(await learnedAt(gatewayMac), null);
});

guard(
  'nothing arrives that only the host may send, also from an address that belongs to nobody',
  async () => {
    for (const attacks of [attacksAsServer(), attacksAsServer('192.168.100.250')])
      await assertDropped({ ...attacks, ...behindTags(attacks) });
  },
);

guard('no answer of DHCP arrives whose header is not valid, where br_netfilter checks none', async () => {
  await withoutFilter(() => assertDropped(malformedAnswers()));
});

/** Does something while br_netfilter checks no frame. */
async function withoutFilter<T>(work: () => Promise<T>): Promise<T> {
  const paths = ['iptables', 'ip6tables'].map(which => `/proc/sys/net/bridge/bridge-nf-call-${which}`);
  const before = paths.map(path => readFileSync(path, 'utf8'));
  for (const path of paths) writeFileSync(path, '0');
  const done = await work();
  for (const [index, path] of paths.entries()) writeFileSync(path, before[index] ?? '');
  return done;
}

guard('the doctor names what was dropped of a machine, and whose it was', async () => {
  // It names the three most frequent reasons.
  for (const set of ['tag', 'router', 'type', 'bridge', 'dhcp_server'])
    await run(host, 'nft', 'flush', 'set', 'bridge', 'virlan-k8s-br0', `deny_${set}`);
  // libvirt's file about a running machine.
  const running = '/run/libvirt/qemu/eve.xml';
  mkdirSync(dirname(running), { recursive: true });
  writeFileSync(running, `<domstatus state='running'>${domainXml(eve.machine)}</domstatus>`);
  const { stdout } = await virlan('doctor', 'eve', '--json');
  rmSync(running);
  const found = JSON.parse(stdout).checks.find(({ check }: { check: string }) => check === 'guard');
  assert.deepEqual([found?.state, found?.code], ['warn', 'frames-dropped']);
  assert.match(
    found.seen,
    /^the guard drops frames of "eve" on veth-eve: .*\d+ with the \w+ \S+, which belongs to /,
  );
});

/** Neighbour messages with bob's MAC where a receiver finds it, which is not at their beginning. */
function behindOtherOptions(): Record<string, Attack> {
  const own6 = linkLocal(macs.eve);
  const nonce = [14, 1, 0, 0, 0, 0, 0, 0];
  const longNonce = (length: number) => [14, length, ...Array<number>(8 * length - 2).fill(0)];
  const option = (type: 1 | 2, mac: string) => [type, 1, ...macBytes(mac)];
  const ask = neighbour(135, 'fe80::77', null);
  const answer = neighbour(136, own6, null);
  const messages = {
    'solicitation, behind a nonce': [...ask, ...nonce, ...option(1, macs.bob)],
    'solicitation, behind a long nonce': [...ask, ...longNonce(2), ...option(1, macs.bob)],
    'solicitation, behind a longer one': [...ask, ...longNonce(3), ...option(1, macs.bob)],
    'solicitation, behind a very long one': [...ask, ...longNonce(4), ...option(1, macs.bob)],
    'solicitation, behind what is for answers': [...ask, ...option(2, macs.eve), ...option(1, macs.bob)],
    'answer, behind what is for solicitations': [...answer, ...option(1, macs.eve), ...option(2, macs.bob)],
  };
  return Object.fromEntries(
    Object.entries(messages).map(([what, message]) => [
      what,
      (to: string) => frame(to, macs.eve, 0x86dd, icmpv6(own6, 'ff02::1', message)),
    ]),
  );
}

guard('no MAC of another arrives behind another option of a neighbour message', () => {
  const attacks = behindOtherOptions();
  return assertDropped({ ...attacks, ...behindTags(attacks) });
});

guard('the first frame of each kind is dropped, too, which is not counted yet', async () => {
  const counts = ['deny_mac', 'deny_addr4', 'deny_addr6'].map(
    set => `flush set bridge virlan-k8s-br0 ${set}`,
  );
  const passed: string[] = [];
  for (const [what, attack] of Object.entries(attacksAs('bob', { mac: macs.bob, ip: ips.bob }))) {
    await run(host, 'nft', counts.join('; '));
    const [places = []] = await arrivals([attack(broadcast)]);
    if (places.length > 0) passed.push(what);
  }
  assert.deepEqual(passed, []);
});

guard('of a machine with guard = no, all of these arrive', async () => {
  await restartEve('no');
  const attacks = {
    ...attacksAs('a machine that is off', { mac: macs.off, ip: ips.off }),
    ...attacksAsServer(),
    ...behindOtherOptions(),
    ...malformedAnswers(),
  };
  const found = await withoutFilter(() => arrivals(Object.values(attacks).map(attack => attack(broadcast))));
  assert.deepEqual(
    Object.keys(attacks).filter((_, index) => found[index]?.length === 0),
    [],
  );
  await hook('stopped', eve.machine);
  await hook('start', eve.machine);
});

/** Frames of eve's that others need, or that harm nobody: to bob, or to all. */
function harmless(): Record<string, Bytes> {
  const own = { mac: macs.eve, ip: ips.eve };
  const own6 = linkLocal(macs.eve);
  const temporary = 'fe80::1234:5678';
  const long6 = ipv6(own6, linkLocal(macs.bob), 17, [...udp(9, 9, []), ...Array<number>(6).fill(0), ...slot]);
  const virtual = '192.168.100.250';
  const routerMac = '00:00:5e:00:01:07';
  const nested = { mac: nestedMac, ip: '192.168.100.249' };
  const asks = (sender: { mac: string; ip: string }, ip: string) => arp(1, sender, { mac: nobody, ip });
  const packet4 = (from: string, mac = macs.eve) =>
    frame(macs.bob, mac, 0x800, ipv4(from, ips.bob, 17, udp(9, 9, [])));
  const nd = (from: string, message: Bytes) =>
    frame(broadcast, macs.eve, 0x86dd, icmpv6(from, 'ff02::1', message));
  return {
    'ARP request': frame(broadcast, macs.eve, 0x806, asks(own, ips.bob)),
    'gratuitous ARP for its own address': frame(broadcast, macs.eve, 0x806, asks(own, ips.eve)),
    'ARP probe for its own address': frame(
      broadcast,
      macs.eve,
      0x806,
      asks({ ...own, ip: '0.0.0.0' }, ips.eve),
    ),
    'ARP probe for a free address': frame(
      broadcast,
      macs.eve,
      0x806,
      asks({ ...own, ip: '0.0.0.0' }, virtual),
    ),
    'gratuitous ARP for a virtual address': frame(
      broadcast,
      macs.eve,
      0x806,
      asks({ ...own, ip: virtual }, virtual),
    ),
    'IPv4 from a virtual address': packet4(virtual),
    'frame of VRRP with a virtual MAC': packet4(virtual, routerMac),
    'RARP after a migration': frame(
      broadcast,
      macs.eve,
      0x8035,
      arp(1, { ...own, ip: '0.0.0.0' }, { ...own, ip: '0.0.0.0' }),
    ),
    'ARP of a nested machine': frame(broadcast, nestedMac, 0x806, asks(nested, nested.ip)),
    'IPv4 of a nested machine': packet4(nested.ip, nestedMac),
    'IPv4 that a machine routes for others': packet4('10.9.9.9'),
    'IPv6 from a temporary address': frame(
      macs.bob,
      macs.eve,
      0x86dd,
      ipv6(temporary, own6, 17, udp(9, 9, [])),
    ),
    'first fragment of IPv6': frame(macs.bob, macs.eve, 0x86dd, fragment6(long6, 0, 32)),
    'last fragment of IPv6': frame(macs.bob, macs.eve, 0x86dd, fragment6(long6, 32)),
    'neighbour advertisement for a temporary address': nd(temporary, neighbour(136, temporary, macs.eve)),
    'IPv6 from its own address with another prefix': frame(
      macs.bob,
      macs.eve,
      0x86dd,
      ipv6(own6.replace('fe80::', 'fd00:1:2:3:'), own6, 17, udp(9, 9, [])),
    ),
    'IPv6 from a random address with another prefix': frame(
      macs.bob,
      macs.eve,
      0x86dd,
      ipv6('fd00:1:2:3:a8b1:23c4:d5e6:f708', own6, 17, udp(9, 9, [])),
    ),
    'neighbour solicitation for another': nd(own6, neighbour(135, linkLocal(macs.bob), macs.eve)),
    'duplicate address detection for its own address': nd('::', neighbour(135, own6, null)),
    'duplicate address detection for a free address': nd('::', neighbour(135, temporary, null)),
    'router solicitation without an address': nd('::', [133, ...Array<number>(7).fill(0)]),
    'report of a multicast group without an address': nd('::', [
      131,
      ...Array<number>(7).fill(0),
      ...ip6Bytes('ff02::7'),
    ]),
    'report of several without an address': nd('::', joins(143, [ip6Bytes('ff02::8')])),
    'frame with a VLAN tag': tagged(packet4(ips.eve), 7),
    'frame of an unknown type': frame(macs.bob, macs.eve, 0x88b6, [0, 0]),
  };
}

guard('what harms nobody arrives', async () => {
  const frames = harmless();
  const found = await arrivals(Object.values(frames));
  const names = Object.keys(frames);
  assert.deepEqual(
    names.filter((_, index) => !found[index]?.includes('bob')),
    [],
  );
});

guard(
  'a machine gives itself IPv6 addresses, which it detects duplicates of, and which others reach',
  async () => {
    // Its DHCP client has removed the addresses that it had.
    for (const machine of [eve, bob])
      for (const value of [1, 0])
        await run(machine, 'sysctl', '-qw', `net.ipv6.conf.eth0.disable_ipv6=${value}`);
    const addresses = async (machine: GuardedGuest, state: string) => {
      const text = await run(machine, 'ip', '-6', '-o', 'address', 'show', 'dev', 'eth0', state);
      return [...text.matchAll(/fe80::[^/]*/g)].map(([address]) => address);
    };
    const [random, taken] = ['fe80::a8b1:23c4:d5e6:f708', 'fe80::99'] as const;
    await run(eve, 'ip', 'address', 'add', `${random}/64`, 'dev', 'eth0');
    await until(async () => (await addresses(eve, '-tentative')).length === 2);
    for (const own of [linkLocal(macs.eve), random]) {
      assert((await addresses(eve, '-tentative')).includes(own), own);
      // A single lost packet says nothing: the guard drops all of them, or none.
      await until(() =>
        run(bob, 'ping', '-c1', '-W2', `${own}%eth0`).then(
          () => true,
          () => false,
        ),
      );
    }
    await run(bob, 'ip', 'address', 'add', `${taken}/64`, 'dev', 'eth0');
    await until(async () => (await addresses(bob, '-tentative')).includes(taken));
    await run(eve, 'ip', 'address', 'add', `${taken}/64`, 'dev', 'eth0');
    await until(async () => (await addresses(eve, 'dadfailed')).includes(taken));
  },
);

guard('a lease is renewed by unicast, and a container on macvlan gets one of its own', async () => {
  const wire = await capture(eve, 'eth0', 'udp port 67 or udp port 68');
  // `ip netns exec` becomes the client, which renews its lease on this signal.
  const client = ['udhcpc', '-f', '-i', 'eth0', '-s', `${checkout}/test/sandbox/udhcpc.sh`];
  const running = execa(...within(eve, 'busybox', client), { reject: false });
  const messages = () => wire.lines.filter(line => /BOOTP\/DHCP/.test(line));
  // It prints its address once it has it.
  await once(running.stdout, 'data');
  running.kill('SIGUSR1');
  const request = await wire.seen(new RegExp(`${ips.eve}\\.68 > ${gatewayIp}\\.67`));
  await until(() => messages().indexOf(request) < messages().length - 1);
  // Without an answer, the client asks again, and in the end everybody.
  assert.match(messages()[messages().indexOf(request) + 1] ?? '', new RegExp(`${gatewayIp}\\.67 > .*Reply`));
  running.kill();
  await wire.stop();
  await run(eve, 'ip', 'link', 'add', 'link', 'eth0', 'name', 'inner', 'type', 'macvlan', 'mode', 'bridge');
  await run(eve, 'ip', 'link', 'set', 'inner', 'up');
  const script = ['-s', '/bin/true', '-f', '-n', '-q', '-t', '10', '-T', '1'];
  await run(eve, 'busybox', 'udhcpc', '-i', 'inner', ...script);
  // It would answer for all addresses of eve's, with its own MAC.
  await run(eve, 'ip', 'link', 'delete', 'inner');
});

guard('a guest does not become the root of the spanning tree, and changes none of its times', async () => {
  await up('stp = yes');
  /** A bridge that any other gives way to, and a forward delay of 30 s (IEEE 802.1D, 9.3.1). */
  const identifier = [0, 0, 0, 0, 0, 0, 0, 1];
  const seconds = [0, 0, 20, 0, 2, 0, 30, 0];
  const bpdu = [0x42, 0x42, 3, 0, 0, 0, 0, 0, ...identifier, 0, 0, 0, 0, ...identifier, 0x80, 1, ...seconds];
  await arrivals([frame('01:80:c2:00:00:00', macs.eve, bpdu.length, bpdu)]);
  const bridge = '/sys/class/net/k8s-br0/bridge';
  assert.equal(readFileSync(`${bridge}/root_port`, 'utf8').trim(), '0');
  assert.equal(readFileSync(`${bridge}/forward_delay`, 'utf8').trim(), '200');
  await up();
});

guard('a virtual address moves from one machine to another by gratuitous ARP', async () => {
  const virtual = '192.168.100.251';
  /** Returns the MAC that answers for the address. */
  const holder = async () => {
    await execa('ping', ['-c1', '-W1', virtual], { reject: false });
    return (await run(host, 'ip', 'neighbour', 'show', virtual)).match(/lladdr (\S+)/)?.[1];
  };
  await run(eve, 'ip', 'address', 'add', `${virtual}/24`, 'dev', 'eth0');
  await until(async () => (await holder()) === macs.eve);
  await run(eve, 'ip', 'address', 'del', `${virtual}/24`, 'dev', 'eth0');
  await run(bob, 'ip', 'address', 'add', `${virtual}/24`, 'dev', 'eth0');
  const sender = { mac: macs.bob, ip: virtual };
  const announcement = frame(broadcast, macs.bob, 0x806, arp(2, sender, { ...sender, mac: broadcast }));
  // The host ignores one within a second after the last change of the entry.
  await until(async () => {
    await send(bob, [announcement]);
    return (await holder()) === macs.bob;
  });
});

guard('a device of virlan.ini behind a port of somebody else uses its MAC and its address', async () => {
  const device = await guest('printer', { mac: printer.mac });
  assert.equal(await dhcp(device), printer.ip);
  await run(bob, 'ping', '-c1', '-W2', printer.ip);
});

/** Starts eve anew with a mode of its own. */
async function restartEve(mode: 'no' | 'strict'): Promise<void> {
  await hook('stopped', eve.machine);
  const metadata = `<v:machine xmlns:v='urn:virlan:machine:1' guard='${mode}'/>`;
  await hook('start', { ...eve.machine, metadata });
}

/** Frames that pass with `others`, and do not with `strict`. */
function attacksOnStrict(): Record<string, Attack> {
  const own6 = linkLocal(macs.eve);
  const nested = { mac: nestedMac, ip: ips.eve };
  const asks = (client: string, from = '0.0.0.0', to = '255.255.255.255') =>
    ipv4(from, to, 17, udp(68, 67, dhcpMessage(1, client)));
  return {
    'frame from a MAC of nobody': to =>
      frame(to, nestedMac, 0x800, ipv4(ips.eve, ips.bob, 17, udp(9, 9, []))),
    'ARP with a MAC of nobody inside': to =>
      frame(to, macs.eve, 0x806, [...arp(1, nested, { mac: nobody, ip: ips.bob }), ...slot]),
    'DHCP message of a client of nobody': to => frame(to, macs.eve, 0x800, asks(nestedMac)),
    'such a message from its own address': to =>
      frame(to, macs.eve, 0x800, asks(nestedMac, ips.eve, gatewayIp)),
    'neighbour advertisement for an address with another prefix': to =>
      frame(to, macs.eve, 0x86dd, icmpv6(own6, 'ff02::1', neighbour(136, 'fd00::7', macs.eve))),
    'service tag': to =>
      serviceTagged(frame(to, macs.eve, 0x800, ipv4(ips.eve, ips.bob, 17, udp(9, 9, []))), 5),
  };
}

guard('strict: nothing of all this arrives either', async () => {
  await restartEve('strict');
  const bobs = { mac: macs.bob, ip: ips.bob };
  for (const attacks of [attacksAs('bob', bobs), attacksAsServer(), behindOtherOptions(), attacksOnStrict()])
    await assertDropped(attacks);
  await withoutFilter(() => assertDropped(malformedAnswers()));
  await hook('stopped', eve.machine);
  await hook('start', eve.machine);
  const passing = await arrivals(Object.values(attacksOnStrict()).map(attack => attack(macs.bob)));
  assert.deepEqual(
    Object.keys(attacksOnStrict()).filter((_, index) => !passing[index]?.includes('bob')),
    [],
  );
});

guard('strict: a machine uses only its own MAC and addresses, and those of <allow>', async () => {
  const allowed = ['192.168.100.240', '192.168.100.244'];
  const metadata = `<v:machine xmlns:v='urn:virlan:machine:1' guard='strict'>
    <v:allow address='${allowed.join('-')}'/></v:machine>`;
  await hook('stopped', eve.machine);
  const machine = { ...eve.machine, metadata };
  await hook('start', machine);
  await dhcp(eve);
  await run(eve, 'ping', '-c1', '-W2', gatewayIp);
  const own = { mac: macs.eve, ip: ips.eve };
  const from = (ip: string) => frame(broadcast, macs.eve, 0x806, arp(1, { ...own, ip }, { mac: nobody, ip }));
  const passes: Record<string, Bytes> = {
    'ARP for the first of its allowed addresses': from('192.168.100.240'),
    'ARP for the last of its allowed addresses': from('192.168.100.244'),
    'IPv4 from an allowed address': frame(
      macs.bob,
      macs.eve,
      0x800,
      ipv4('192.168.100.242', ips.bob, 17, udp(9, 9, [])),
    ),
  };
  const still = [
    'ARP request',
    'gratuitous ARP for its own address',
    'ARP probe for its own address',
    'ARP probe for a free address',
    'RARP after a migration',
    'IPv6 from a temporary address',
    'first fragment of IPv6',
    'last fragment of IPv6',
    'neighbour advertisement for a temporary address',
    'neighbour solicitation for another',
    'duplicate address detection for its own address',
    'duplicate address detection for a free address',
    'router solicitation without an address',
    'report of a multicast group without an address',
    'report of several without an address',
  ];
  const frames = { ...harmless(), ...passes, 'ARP beyond its allowed addresses': from('192.168.100.245') };
  const found = await send(eve, [...Object.values(frames), from(ips.eve)]);
  const last = found.pop() ?? 0;
  await until(() => sights.bob.seen.has(last));
  assert.deepEqual(
    Object.keys(frames).filter((_, index) => sights.bob.seen.has(found[index] ?? 0)),
    [...still, ...Object.keys(passes)],
  );
  await hook('stopped', machine);
  await hook('start', eve.machine);
});

guard(
  'of a machine that uses many addresses, only some are counted, which leaves room for others',
  async () => {
    await restartEve('strict');
    const from = (ip: string) => frame(macs.bob, macs.eve, 0x800, ipv4(ip, ips.bob, 17, udp(9, 9, [])));
    const others = Array.from({ length: 2 * countedOfPort }, (_, index) => from(`10.9.0.${index}`));
    const last = (await send(eve, [...others, from(ips.eve)])).pop() ?? 0;
    await until(() => sights.bob.seen.has(last));
    const counted = (await elementsOf('deny_addr4')).match(/"veth-eve" \. 10\.9\./g) ?? [];
    assert(counted.length > 0 && counted.length <= countedOfPort, `${counted.length} are counted`);
    await hook('stopped', eve.machine);
    await hook('start', eve.machine);
  },
);

/** Returns the elements of a set. */
async function elementsOf(set: string): Promise<string> {
  return run(host, 'nft', '-n', 'list', 'set', 'bridge', 'virlan-k8s-br0', set);
}

guard(
  'a machine that stops leaves nothing, and one that gets its tap at once has nothing of it',
  async () => {
    await hook('stopped', bob.machine);
    assert.doesNotMatch(await elementsOf('own_macs'), /veth-bob/);
    await hook('start', bob.machine);
    assert.match(await elementsOf('own_macs'), /veth-bob/);
    // Another link of that name, and nobody has said that bob stopped.
    await remove(bob);
    sights.bob.stop();
    const dan = await guardedGuest('dan', { mac: '52:54:00:00:00:0d' });
    await run(host, 'ip', 'link', 'set', dan.port, 'down');
    await run(host, 'ip', 'link', 'set', dan.port, 'name', bob.port);
    await run(host, 'ip', 'link', 'set', bob.port, 'up');
    const nics = dan.machine.nics.map(nic => ({ ...nic, tap: bob.port }));
    await hook('start', { ...dan.machine, nics });
    const own = await elementsOf('own_macs');
    assert.match(own, /"veth-bob" \. 0x52540000000d/);
    assert.doesNotMatch(own, /"veth-bob" \. 0x52540000000b/);
  },
);

guard('guard = no in the metadata of a machine: nothing of it is looked at', async () => {
  await restartEve('no');
  assert.doesNotMatch(await run(host, 'nft', 'list', 'map', 'bridge', 'virlan-k8s-br0', 'ports'), /eve/);
  await hook('stopped', eve.machine);
  await hook('start', eve.machine);
});

guard(
  'up repairs rules and elements that are gone; a load that fails leaves the guard that is there',
  async () => {
    // The kernel lists elements in any order.
    const list = async () => {
      const text = await run(host, 'nft', '-s', 'list', 'table', 'bridge', 'virlan-k8s-br0');
      return text
        .replace(
          /\tset (deny_\w+|dhcp_\w+|(?:new_)?(?:senders|neighbours|groups)|long_reports|broadcasts|\w+_groups) \{[\s\S]*?\n\t\}/g,
          '',
        )
        .split(/[\s,]+/)
        .sort()
        .join(' ');
    };
    assert.equal((await virlan('up')).exitCode, 0);
    const before = await list();
    await run(host, 'nft', 'delete element bridge virlan-k8s-br0 macs { 0x525400000010 }');
    await run(host, 'nft', 'flush chain bridge virlan-k8s-br0 strict');
    assert.equal((await virlan('plan')).exitCode, 3);
    assert.equal((await virlan('up')).exitCode, 0);
    assert.equal(await list(), before);
    await run(host, 'nft', 'delete table bridge virlan-k8s-br0');
    assert.equal((await virlan('up')).exitCode, 0);
    assert.equal(await list(), before);
    await run(host, 'nft', 'flush chain bridge virlan-k8s-br0 strict');
    const damaged = await list();
    stubProgram(
      'nft',
      '[ "$1" != -f ] || case $(tee /tmp/script) in *"table bridge"*) echo no such family >&2; exit 1 ;; esac\n' +
        'if [ "$1" = -f ]; then exec "$original" -f /tmp/script; else exec "$original" "$@"; fi',
    );
    try {
      const up = await virlan('up');
      assert.equal(up.exitCode, 0);
      assert.match((await virlan('status')).stdout, /guard/);
      assert.equal(await list(), damaged);
    } finally {
      restorePrograms();
    }
    assert.equal((await virlan('up')).exitCode, 0);
    assert.equal((await virlan('down')).exitCode, 0);
    assert.doesNotMatch(await run(host, 'nft', 'list', 'tables'), /bridge/);
  },
);

guard.run();
