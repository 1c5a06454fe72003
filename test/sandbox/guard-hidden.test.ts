// Messages that are not where the guard's rules look for them: in later fragments, behind headers, in other frames.
// The bridge and receivers find them there.
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import {
  arp,
  type Bytes,
  behindAuthentication,
  behindOptions,
  broadcast,
  dhcpMessage,
  fragment6,
  frame,
  icmpv6,
  igmp,
  ip4Bytes,
  ip6Bytes,
  ipv4,
  linkLocal,
  macBytes,
  neighbour,
  type Sight,
  send,
  slot,
  snap,
  tagged,
  udp,
  validIcmpv6,
  watchFrames,
  withChecksum,
  withRouterAlert,
} from './frames.ts';
import { type GuardedGuest, guardedGuest, hook } from './guarded-guest.ts';
import {
  capture,
  checkout,
  configure,
  dhcp,
  type Guest,
  guest,
  host,
  installVirlan,
  run,
  virlan,
  within,
} from './host.ts';
import { until } from './until.ts';

const hidden = suite('guard, hidden messages');
const bridge = 'k8s-br0';
const gateway = '192.168.100.1';
const agent = `${checkout}/test/sandbox/frame-agent.py`;
const macs = { eve: '52:54:00:00:00:0e', bob: '52:54:00:00:00:0b', free: '52:54:00:00:00:0a' };

/** A sender of frames; `free` is on a port that is not guarded, and shows that its frames have their effect there. */
type Sender = Guest & { readonly mac: string; readonly ip: string };

let eve: Sender;
let free: Sender;
let guarded: GuardedGuest;
let bob: GuardedGuest;
let bobsIp = '';

hidden.before(async () => {
  await installVirlan();
  // Otherwise, it would put fragments together before the bridge reads them.
  const filter = '/proc/sys/net/bridge/bridge-nf-call-iptables';
  if (existsSync(filter)) writeFileSync(filter, '0');
  await configure(`[network.${bridge}]\nstp = no\n`);
  const { exitCode, stderr } = await virlan('up');
  assert.equal(`${stderr}${exitCode}`, '0');
  bob = await guardedGuest('bob', { mac: macs.bob });
  guarded = await guardedGuest('eve', { mac: macs.eve });
  const other = await guest('free', { mac: macs.free });
  eve = { ...guarded, mac: macs.eve, ip: await dhcp(guarded) };
  free = { ...other, mac: macs.free, ip: await dhcp(other) };
  bobsIp = await dhcp(bob);
});

const later = 0x10;

function inLaterFragment(to: string, group: string, message: Bytes) {
  return ({ mac, ip }: Sender) => frame(to, mac, 0x800, igmp(ip, group, message, later));
}

function authenticated(to: string, group: string, message: Bytes) {
  return ({ mac }: Sender) => {
    const packet = validIcmpv6(linkLocal(mac), group, message);
    return frame(to, mac, 0x86dd, withRouterAlert(behindAuthentication(packet)));
  };
}

const nothing = (count: number) => Array<number>(count).fill(0);

/** Messages by which the bridge sends all multicast to the port that they come from. */
const routers: Readonly<Record<string, (sender: Sender) => Bytes>> = {
  'query of IPv4': inLaterFragment('01:00:5e:00:00:01', '224.0.0.1', [0x11, 100, ...nothing(6)]),
  'multicast router of IPv4': inLaterFragment('01:00:5e:00:00:6a', '224.0.0.106', [0x30, 20, ...nothing(6)]),
  'query of IPv6': authenticated('33:33:00:00:00:01', 'ff02::1', [130, 0, 0, 0, 0, 1, ...nothing(18)]),
  'multicast router of IPv6': authenticated('33:33:00:00:00:6a', 'ff02::6a', [151, 20, ...nothing(6)]),
};

/** Returns whether the bridge takes the port for one that leads to a multicast router. */
async function isRouter({ port }: Sender): Promise<boolean> {
  return (await run(host, 'bridge', '-d', 'mdb', 'show', 'dev', bridge)).includes(
    `router ports on ${bridge}: ${port}`,
  );
}

async function forgetRouter({ port }: Sender): Promise<void> {
  for (const mode of ['0', '1']) await run(host, 'bridge', 'link', 'set', 'dev', port, 'mcast_router', mode);
}

hidden('no port of a machine becomes that of a multicast router', async () => {
  const found: Record<string, boolean[]> = {};
  for (const [what, message] of Object.entries(routers)) {
    found[what] = [];
    for (const sender of [eve, free]) {
      await send(sender, [message(sender)]);
      found[what].push(await isRouter(sender));
      await forgetRouter(sender);
    }
  }
  assert.deepEqual(found, Object.fromEntries(Object.keys(routers).map(what => [what, [false, true]])));
});

/** Returns the number of groups that the bridge has at a port. */
async function groups({ port }: Sender): Promise<number> {
  const [{ mdb }] = JSON.parse(await run(host, 'bridge', '-json', 'mdb', 'show', 'dev', bridge));
  return mdb.filter((entry: { port: string }) => entry.port === port).length;
}

hidden('no group is joined past the limit', async () => {
  const joins = [
    inLaterFragment('01:00:5e:01:01:01', '239.1.1.1', [0x16, 0, 0, 0, ...ip4Bytes('239.1.1.1')]),
    authenticated('33:33:00:00:00:77', 'ff05::77', [131, ...nothing(7), ...ip6Bytes('ff05::77')]),
  ];
  const found: number[] = [];
  for (const sender of [eve, free]) {
    const before = await groups(sender);
    await send(
      sender,
      joins.map(join => join(sender)),
    );
    found.push((await groups(sender)) - before);
  }
  assert.deepEqual(found, [0, joins.length]);
});

/** Returns whether an error of ICMP ends a connection of bob's to a port of the gateway. */
async function endsConnection(sender: Sender, errors: readonly Bytes[]): Promise<boolean> {
  const script = `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('', 40000)); s.connect(('${gateway}', 53)); s.settimeout(2)
try: s.recv(1)
except ConnectionRefusedError: print('refused')
except TimeoutError: pass`;
  let isOver = false;
  const asks = execa(...within(bob, 'python3', ['-c', script])).finally(() => {
    isOver = true;
  });
  while (!isOver) await send(sender, errors);
  return (await asks).stdout === 'refused';
}

hidden('no machine says in the gateway’s place that it refuses a packet', async () => {
  const packet = ipv4(bobsIp, gateway, 17, [0x9c, 0x40, 0, 53, 0, 8, 0, 0]);
  const message = withChecksum([3, 3, ...nothing(6), ...packet]);
  const errorOf = ({ mac, ip }: Sender, bytes: Bytes, fragment = 0) =>
    frame(macs.bob, mac, 0x800, ipv4(ip, bobsIp, 1, bytes, fragment));
  for (const sender of [eve, free]) {
    const fragments = [errorOf(sender, message.slice(0, 16), 0x2000), errorOf(sender, message.slice(16), 2)];
    assert.equal(await endsConnection(sender, [errorOf(sender, message)]), sender === free);
    assert.equal(await endsConnection(sender, fragments), sender === free);
  }
});

let sight: Sight;

/** Returns which of eve's frames bob sees. */
async function arrivals(
  frames: Readonly<Record<string, Bytes>>,
  marker = frame(broadcast, eve.mac, 0x88b5, [0, 0]),
): Promise<string[]> {
  const numbers = await send(eve, [...Object.values(frames), marker]);
  const last = numbers.pop() ?? 0;
  await until(() => sight.seen.has(last));
  return Object.keys(frames).filter((_, index) => sight.seen.has(numbers[index] ?? 0));
}

hidden('nothing passes in a frame of IEEE 802.3 that would not pass in one of Ethernet', async () => {
  sight = await watchFrames(bob, 'eth0');
  const { mac, ip } = eve;
  const answer = [2, ...dhcpMessage(2, macs.bob).slice(1)];
  const target = { mac: macs.bob, ip: bobsIp };
  const plain: Readonly<Record<string, Bytes>> = {
    'ARP answer of the gateway': frame(macs.bob, mac, 0x806, arp(2, { mac, ip: gateway }, target)),
    'IPv4 of the gateway': frame(macs.bob, mac, 0x800, ipv4(gateway, bobsIp, 17, udp(53, 9, [1, 2]))),
    'DHCP answer': frame(macs.bob, mac, 0x800, ipv4(ip, bobsIp, 17, udp(67, 68, answer))),
    'router advertisement': frame(
      macs.bob,
      mac,
      0x86dd,
      icmpv6(linkLocal(mac), 'ff02::1', [134, 0, 0, 0, 64, 0, 7, 8, ...nothing(8)]),
    ),
    'neighbour advertisement': frame(
      macs.bob,
      mac,
      0x86dd,
      icmpv6(linkLocal(mac), 'ff02::1', neighbour(136, linkLocal(macs.bob), mac)),
    ),
  };
  const attacks = Object.entries(plain).flatMap(([what, each]) => {
    const ways = {
      plain: snap(each),
      'of a bridge': snap(each, [0, 0, 0xf8]),
      'with another length': snap(each, [0, 0, 0], 0x5ff),
      'with a tag inside': snap(tagged(each, 0)),
    };
    return Object.entries(ways).flatMap(([way, bytes]) => [
      [`${what}, ${way}`, bytes] as const,
      [`${what}, ${way}, behind a tag`, tagged(bytes, 5)] as const,
    ]);
  });
  assert.deepEqual(await arrivals(Object.fromEntries(attacks)), []);
  const others = {
    'IS-IS': [...frame(macs.bob, mac, 40, [0xfe, 0xfe, 3, 0x83]), ...slot],
    'SNAP of a vendor': snap(frame(macs.bob, mac, 0x2000, slot), [0, 0, 0x0c]),
  };
  assert.deepEqual(await arrivals(others), Object.keys(others));
  sight.stop();
});

/** Returns a message for resolving addresses, with lengths of MACs and addresses, and what is behind them. */
function resolution(lengths: readonly [mac: number, address: number], operation: number, rest: Bytes): Bytes {
  return [0, 1, 8, 0, ...lengths, 0, operation, ...rest];
}

hidden(
  'nothing passes in ARP of other lengths, in RARP or in router solicitations, also with strict',
  async () => {
    const { mac, ip } = eve;
    const own = [...macBytes(mac), ...ip4Bytes(ip)];
    const bobs = [...macBytes(macs.bob), ...ip4Bytes(bobsIp)];
    const broken = (message: Bytes) => frame(broadcast, mac, 0x806, message);
    const solicitation = (options: Bytes) => [133, ...nothing(7), ...options];
    const solicits = (...options: Bytes) =>
      frame(broadcast, mac, 0x86dd, icmpv6(linkLocal(mac), 'ff02::2', solicitation(options)));
    const sourceOption = (each: string) => [1, 1, ...macBytes(each)];
    const nonce = (length: number) => [14, length, ...nothing(8 * length - 2)];
    const gives = (operation: number) =>
      frame(macs.bob, mac, 0x8035, [
        ...resolution([6, 4], operation, [...own, ...macBytes(macs.bob), 192, 168, 100, 77]),
        ...slot,
      ]);
    const attacks: Readonly<Record<string, Bytes>> = {
      'ARP without MACs': broken([...resolution([0, 4], 2, [...own, ...bobs]), ...slot]),
      'ARP with longer MACs': broken([...resolution([8, 4], 2, [...own, ...bobs]), ...slot]),
      'ARP with longer addresses': broken([...resolution([6, 16], 2, [...own, ...bobs]), ...slot]),
      'answer of a RARP server': gives(4),
      'answer of a server of dynamic RARP': gives(6),
      'router solicitation with the MAC of another': solicits(...sourceOption(macs.bob)),
      'router solicitation with it behind another option': solicits(...nonce(1), ...sourceOption(macs.bob)),
      'router solicitation with it behind a long option': solicits(...nonce(2), ...sourceOption(macs.bob)),
      'router solicitation with it behind a longer option': solicits(...nonce(3), ...sourceOption(macs.bob)),
      'router solicitation with it behind a very long option': solicits(
        ...nonce(4),
        ...sourceOption(macs.bob),
      ),
      'first fragment of a router solicitation, which ends before the MAC': frame(
        broadcast,
        mac,
        0x86dd,
        behindOptions(
          fragment6(validIcmpv6(linkLocal(mac), 'ff02::2', solicitation(sourceOption(macs.bob))), 0, 8),
        ),
      ),
    };
    const tags = Object.entries(attacks).map(
      ([what, each]) => [`${what}, behind a tag`, tagged(each, 5)] as const,
    );
    const harmless: Readonly<Record<string, Bytes>> = {
      'RARP request': frame(broadcast, mac, 0x8035, [...resolution([6, 4], 3, [...own, ...own]), ...slot]),
      'router solicitation without a MAC': solicits(),
      'router solicitation with its MAC': solicits(...sourceOption(mac)),
    };
    const all = { ...attacks, ...Object.fromEntries(tags), ...harmless };
    for (const metadata of ['', `<v:machine xmlns:v='urn:virlan:machine:1' guard='strict'/>`]) {
      await hook('stopped', guarded.machine);
      await hook('start', { ...guarded.machine, metadata });
      sight = await watchFrames(bob, 'eth0');
      const marker = frame(broadcast, mac, 0x806, [
        ...arp(1, { mac, ip }, { mac: '00:00:00:00:00:00', ip }),
        ...slot,
      ]);
      assert.deepEqual(await arrivals(all, marker), Object.keys(harmless), metadata);
      sight.stop();
    }
  },
);

hidden('no ARP passes that ends before its end, which receivers fill up with zeros', async () => {
  const whole = frame(broadcast, eve.mac, 0x806, arp(1, eve, { mac: macs.bob, ip: bobsIp }));
  const wire = await capture(bob, 'eth0', 'arp');
  for (const length of [whole.length - 1, 14 + 16, whole.length])
    await run(eve, 'python3', agent, 'send', 'eth0', Buffer.from(whole.slice(0, length)).toString('hex'));
  await wire.seen(new RegExp(`who-has ${bobsIp}`));
  await wire.stop();
  assert.doesNotMatch(wire.lines.join(), /\[\|arp\]/);
});

hidden.run();
