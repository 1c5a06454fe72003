// observe.test.ts: tests how the state of links, routes and rules is read and compared.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { formatPrefix } from '../../src/address/ip.ts';
import { compareListings } from '../../src/firewall/drift.ts';
import { parseGuardListing } from '../../src/guard/listing.ts';
import { absentNetwork } from '../../src/network/desired.ts';
import { isKernelReplaced } from '../../src/network/kernel/kernel.ts';
import {
  hasGlobalIpv6,
  knownSubnets,
  leadsToLan,
  parseLinksAndRoutes,
} from '../../src/network/kernel/links.ts';
import {
  isOwnMac,
  mayHaveStaticEntries,
  parseStaticEntries,
} from '../../src/network/kernel/static-entries.ts';
import { parseVlans, vlanCommands } from '../../src/network/kernel/vlans.ts';
import { findUnrouted, type HostReading, observeNetwork } from '../../src/network/observe.ts';
import { presentName, withName } from '../../src/network/renamed-bridge.ts';
import { findReach } from '../../src/network/routes/reach.ts';
import { defaultLinks } from '../../src/network/routes/route-links.ts';
import type { DesiredNetwork, DesiredTap } from '../../src/network/state/state.ts';
import { bridgeWith, config, ip, mac, network } from './builders.ts';

const observes = suite('observe');

/** The output of `ip -json -details -batch -`. */
const output = [
  JSON.stringify([
    {
      ifindex: 1,
      ifname: 'lo',
      mtu: 65_536,
      flags: ['LOOPBACK', 'UP'],
      address: '00:00:00:00:00:00',
      addr_info: [],
    },
    {
      ifindex: 4,
      ifname: 'br0',
      mtu: 1500,
      flags: ['BROADCAST', 'UP'],
      address: '52:54:00:00:00:01',
      linkinfo: { info_kind: 'bridge', info_data: { stp_state: 1, priority: 4096, forward_delay: 200 } },
      addr_info: [
        { family: 'inet', local: '10.0.0.1', prefixlen: 24, broadcast: '10.0.0.255' },
        { family: 'inet6', scope: 'link', local: 'fe80::1', prefixlen: 64 },
      ],
    },
    {
      ifindex: 5,
      ifname: 'vnet0',
      mtu: 1500,
      flags: ['UP'],
      address: 'fe:54:00:00:00:02',
      linkinfo: { info_kind: 'tun' },
    },
    {
      ifindex: 6,
      ifname: 'br0-nic',
      mtu: 1500,
      flags: [],
      address: '52:54:00:00:00:03',
      master: 'br0',
      linkinfo: { info_kind: 'dummy' },
      addr_info: [{ family: 'inet6', scope: 'global', local: '2001:db8::7', prefixlen: 64 }],
    },
  ]),
  JSON.stringify([
    { dst: 'default', dev: 'eth0' },
    { dst: '10.0.0.0/24', dev: 'br0' },
    { dst: '172.16.0.9', dev: 'wg0' },
    { dst: '10.66.0.0/16', type: 'blackhole' },
    { dst: '10.0.0.255', dev: 'br0', type: 'broadcast' },
    { dst: 'fd00::/64', dev: 'br0' },
    { dst: '10.77.0.0/16', dev: 'ts0', table: '52' },
    { dst: '10.78.0.0/16', dev: 'ts0', table: '77' },
  ]),
  JSON.stringify([
    { priority: 0, src: 'all', table: 'local' },
    { priority: 5270, src: 'all', table: '52' },
    { priority: 32_766, src: 'all', table: 'main' },
    { priority: 32_767, src: 'all', table: 'default' },
  ]),
].join('\n');

const reading = parseLinksAndRoutes(output);

observes('links and routes are parsed from the output of ip', () => {
  const [, bridge, tap, dummy] = reading.links;
  assert.deepEqual(bridge, {
    index: 4,
    name: 'br0',
    type: 'bridge',
    mac: mac(1),
    mtu: 1500,
    up: true,
    arp: true,
    master: null,
    stp: true,
    priority: 4096,
    forwardDelay: 200,
    rootPort: 0,
    vxlan: null,
    port: null,
    addresses: [{ ip: ip('10.0.0.1'), prefixLength: 24, broadcast: ip('10.0.0.255') }],
  });
  assert.deepEqual([tap?.type, tap?.addresses], ['tun', []]);
  assert.deepEqual([dummy?.up, dummy?.master], [false, 'br0']);
  assert.deepEqual(parseLinksAndRoutes(''), { links: [], routes: [], routingRules: [] });
  assert.deepEqual(
    reading.routingRules.map(({ table, isEarly }) => [table, isEarly]),
    [
      ['local', false],
      ['52', true],
      ['main', false],
      ['default', false],
    ],
  );
});

observes('the keys of a VXLAN link are read, and another link has none', () => {
  const data = { id: 100, local: '10.0.0.1', port: 4789, learning: true };
  const line = (linkinfo: object) =>
    JSON.stringify([{ ifindex: 4, ifname: 'br0-vx', mtu: 1450, flags: [], linkinfo }]);
  const vxlanOf = (linkinfo: object) => parseLinksAndRoutes(line(linkinfo)).links[0]?.vxlan;
  assert.deepEqual(vxlanOf({ info_kind: 'vxlan', info_data: data }), {
    vni: 100,
    local: ip('10.0.0.1'),
    port: 4789,
    learning: true,
  });
  assert.deepEqual(vxlanOf({ info_kind: 'vxlan' }), { vni: 0, local: null, port: 0, learning: false });
  assert.equal(vxlanOf({ info_kind: 'tun', info_data: data }), null);
});

observes('a global IPv6 address is seen on the link that has it, a link-local one is not', () => {
  const addresses = [
    'fe80000000000000505400fffe000001 03 40 20 80      br0',
    '20010db8000000000000000000000007 04 40 00 80  br0-nic',
    '',
  ].join('\n');
  assert.deepEqual(
    ['br0', 'br0-nic', 'nic'].map(link => hasGlobalIpv6(link, addresses)),
    [false, true, false],
  );
  assert.equal(hasGlobalIpv6('br0', ''), false);
});

observes('known subnets come from addresses and routes of both families, without local routes', () => {
  const found = knownSubnets(reading).map(({ subnet, link, by }) => `${formatPrefix(subnet)} ${link} ${by}`);
  assert.deepEqual(found, [
    '10.0.0.0/24 br0 address',
    '10.0.0.0/24 br0 route',
    '172.16.0.9/32 wg0 route',
    '10.66.0.0/16 null route',
    'fd00::/64 br0 route',
    '10.77.0.0/16 ts0 route',
  ]);
});

/** Returns the reading of a host with these routes besides those of `reading`. */
function withRoutes(...routes: readonly object[]) {
  const [links = '', , rules = ''] = output.split('\n');
  return parseLinksAndRoutes([links, JSON.stringify(routes), rules].join('\n'));
}

observes('uplinks are the links of default routes of any form, in the tables that are asked', () => {
  const cases: [routes: object[], links: string[]][] = [
    [[], []],
    [[{ dst: 'default', dev: 'eth0' }], ['eth0']],
    [
      [
        { dst: 'default', dev: 'wlan0', metric: 600 },
        { dst: 'default', dev: 'eth0', metric: 100 },
      ],
      ['eth0', 'wlan0'],
    ],
    [[{ dst: 'default', nexthops: [{ dev: 'eth1' }, { dev: 'eth0' }] }], ['eth0', 'eth1']],
    [
      [
        { dst: '0.0.0.0/1', dev: 'tun0' },
        { dst: '128.0.0.0/1', dev: 'tun0' },
      ],
      ['tun0'],
    ],
    [[{ dst: 'default', dev: 'wg0', table: '52' }], ['wg0']],
    [[{ dst: 'default', dev: 'wg0', table: '77' }], []],
    [[{ dst: 'default', type: 'unreachable', dev: 'lo', metric: 4_278_198_272 }], []],
    [[{ dst: '10.0.0.0/8', dev: 'docker0' }], []],
    [[{ dst: 'default', gateway: 'fe80::1', dev: 'eth6', pref: 'medium' }], []],
  ];
  for (const [routes, links] of cases) assert.deepEqual(defaultLinks(withRoutes(...routes)), links);
});

observes(
  'machines reach the links of all routes, of uplinks alone, or of the networks they may reach',
  () => {
    const host = withRoutes(
      { dst: 'default', dev: 'eth0' },
      { dst: '203.0.113.0/24', dev: 'eth0' },
      { dst: '10.1.0.0/24', dev: 'a' },
      { dst: '10.2.0.0/24', dev: 'b' },
      { dst: '172.17.0.0/16', dev: 'docker0' },
      { dst: '10.8.0.2', dev: 'wg0' },
      { dst: '127.0.0.0/8', dev: 'lo' },
      { dst: '10.66.0.0/16', type: 'blackhole' },
    );
    const reach = (...lines: readonly string[]) => {
      const text = ['[network.a]', 'subnet = 10.1.0.0/24', ...lines, '[network.b]', 'subnet = 10.2.0.0/24'];
      const [first] = config(text.join('\n')).networks;
      return first === undefined ? null : findReach(first, host).besides;
    };
    assert.deepEqual(reach(), ['docker0', 'wg0']);
    assert.deepEqual(reach('mode = routed', 'reaches = b'), ['b', 'docker0', 'wg0']);
    assert.deepEqual(reach('outside = uplink'), []);
    assert.deepEqual(reach('uplink = eth9', 'reaches = b'), ['b']);
    for (const mode of ['isolated', 'open']) assert.deepEqual(reach(`mode = ${mode}`), []);
  },
);

observes('the LAN needs a route to a routed network by way of the first address of the uplink', () => {
  const host = withRoutes({ dst: 'default', dev: 'br0' });
  const via = (...lines: readonly string[]) => findReach(network(...lines), host).via;
  assert.equal(via('mode = routed'), ip('10.0.0.1'));
  assert.equal(via('mode = routed', 'outside = uplink'), ip('10.0.0.1'));
  assert.equal(via('mode = routed', 'uplink = eth9'), null);
  assert.equal(via(), null);
});

observes('drift is the difference between two listings, in rules and in order', () => {
  const before = ['table ip x {', '\t\taccept', '\t\tdrop', '}'];
  assert.deepEqual(compareListings(before, before), []);
  assert.deepEqual(compareListings(before, ['table ip x {', '\t\taccept', '\t\treturn', '}']), [
    { kind: 'missing', rule: 'drop' },
    { kind: 'added', rule: 'return' },
  ]);
  assert.deepEqual(compareListings(before, [...before, '\t\tlog']), [{ kind: 'added', rule: 'log' }]);
  assert.deepEqual(compareListings(before, []), [
    { kind: 'missing', rule: 'table ip x {' },
    { kind: 'missing', rule: 'accept' },
    { kind: 'missing', rule: 'drop' },
    { kind: 'missing', rule: '}' },
  ]);
  const moved = ['table ip x {', '\t\tdrop', '\t\taccept', '}'];
  assert.deepEqual(compareListings(before, moved), [{ kind: 'reordered' }]);
  const doubled = ['table ip x {', '\t\taccept', '\t\taccept', '\t\tdrop', '}'];
  assert.deepEqual(compareListings(before, doubled), [{ kind: 'reordered' }]);
});

const wanted = bridgeWith([{ ip: ip('10.0.0.1'), prefixLength: 24, broadcast: ip('10.0.0.255') }]);

observes('a route is missing only if the link is up and has the address', () => {
  const bridge = reading.links.find(({ name }) => name === 'br0');
  assert(bridge);
  assert.deepEqual(findUnrouted(wanted, bridge, reading.routes), []);
  const others = reading.routes.filter(({ destination }) => destination !== '10.0.0.0/24');
  assert.deepEqual(findUnrouted(wanted, bridge, others), wanted.addresses);
  const elsewhere = [
    ...others,
    {
      destination: '10.0.0.0/24',
      link: 'eth0',
      type: 'unicast',
      table: 'main',
      family: 'ipv4',
      metric: 0,
      isOfKernel: false,
    },
  ] as const;
  assert.deepEqual(findUnrouted(wanted, bridge, elsewhere), wanted.addresses);
  assert.deepEqual(findUnrouted(wanted, { ...bridge, up: false }, others), []);
  assert.deepEqual(findUnrouted({ ...wanted, up: false }, bridge, others), []);
  assert.deepEqual(findUnrouted(wanted, { ...bridge, addresses: [] }, others), []);
  assert.deepEqual(findUnrouted(wanted, undefined, others), []);
});

const host: HostReading = {
  ...reading,
  leftovers: [],
  rules: [
    {
      backend: 'nftables',
      family: 'ipv4',
      lines: ['table ip virlan-br0 {', '\t\taccept', '}'],
      translations: [],
      overruled: ['-A POSTROUTING -j SNAT'],
    },
    { backend: 'iptables', family: 'ipv4', lines: [], translations: [], overruled: [] },
  ],
  guard: parseGuardListing(''),
  entries: new Map([['vnet1', [{ mac: mac(7), isSticky: false }]]]),
  vlans: null,
  renamedTo: null,
  tunnel: null,
  applied: {
    rules: [
      {
        backend: 'nftables',
        family: 'ipv4',
        script: 'SCRIPT',
        listing: ['table ip virlan-br0 {', '\t\taccept', '\t\tdrop', '}'],
      },
    ],
    addresses: ['10.0.0.1/24'],
    treatment: null,
    dnsmasq: null,
    guard: null,
    tunnel: null,
    ports: { vnet0: { hairpin: true } },
    entries: { vnet0: [{ mac: mac(5), isSticky: true }] },
    vlans: null,
  },
  sysctls: new Map([
    ['a', '1'],
    ['b', '2'],
  ]),
  managerFiles: new Map(),
  dnsmasq: { conf: null, pid: null, isStopped: false, hasOtherLeases: false },
  modes: new Map(),
  published: { reservations: ['line'], names: ['name'] },
};

function tap(name: string): DesiredTap {
  return { name, up: true, mtu: 1500, isolated: false, isGuarded: false, hairpin: 'leave' };
}

const desired: DesiredNetwork = {
  ...absentNetwork('lan', 'br0'),
  link: wanted,
  taps: [tap('vnet0'), tap('vnet1')],
  sysctls: new Map([['a', '1']]),
};

/** Returns the output of `ip` for a bridge and its ports. */
function portsOutput(info_data: object, ...ports: { ifname: string; info_kind?: string; data: object }[]) {
  const common = { ifindex: 4, mtu: 1500, flags: ['UP'], address: '52:54:00:00:00:01', addr_info: [] };
  const links = ports.map(({ ifname, info_kind, data }) => ({
    ...common,
    ifname,
    master: 'br0',
    linkinfo: { info_kind, info_slave_kind: 'bridge', info_slave_data: data },
  }));
  const bridge = { ...common, ifname: 'br0', linkinfo: { info_kind: 'bridge', info_data } };
  return parseLinksAndRoutes(`${JSON.stringify([bridge, ...links])}\n[]`);
}

observes('while another bridge is the root, its forward delay is not taken for that of the bridge', () => {
  const ports = [
    { ifname: 'vnet0', info_kind: 'tun', data: { no: '0xa', group_fwd_mask: '0x10' } },
    { ifname: 'eth1', data: { no: '0xb', group_fwd_mask: '0' } },
  ];
  const observe = (root_port: number) => {
    const found = portsOutput({ stp_state: 1, forward_delay: 3000, root_port }, ...ports);
    const { link, rootPort } = observeNetwork(desired, { ...host, ...found });
    return { forwardDelay: link?.forwardDelay, rootPort };
  };
  assert.deepEqual(observe(0), { forwardDelay: 3000, rootPort: null });
  const guest = { name: 'vnet0', groupForwardMask: 16 };
  assert.deepEqual(observe(10), { forwardDelay: null, rootPort: guest });
  assert.deepEqual(observe(11), { forwardDelay: null, rootPort: null }, 'a root in the LAN is left alone');
});

observes("links in the bridge that are not the machines', the dummy NIC or the probe are listed", () => {
  const port = (ifname: string, info_kind?: string) => ({
    ifname,
    data: {},
    ...(info_kind && { info_kind }),
  });
  const links = [port('vnet0', 'tun'), port('br0-nic', 'dummy'), port('virlan-probe', 'veth')];
  const others = [port('eth1'), port('vnet7', 'tun'), port('docker;1', 'veth')];
  const { otherPorts } = observeNetwork(desired, { ...host, ...portsOutput({}, ...links, ...others) });
  assert.deepEqual(otherPorts, [
    { name: 'eth1', leadsToLan: true },
    { name: 'vnet7', leadsToLan: false },
    { name: 'docker;1', leadsToLan: false },
  ]);
});

observes('a network card and what stands for several leads to a LAN; taps, veths and dummies do not', () => {
  for (const type of [null, 'bond', 'vlan', 'team']) assert.equal(leadsToLan({ type }), true, String(type));
  for (const type of ['tun', 'veth', 'dummy', 'ifb', 'vxlan', 'bridge'])
    assert.equal(leadsToLan({ type }), false, type);
});

observes(
  'a dnsmasq that was there for another link of the name hears nothing; one that is unknown may',
  () => {
    const isUnbound = (dnsmasq: { pid: number; linkIndex: number } | null) => {
      const running = { conf: null, pid: 7, isStopped: false, hasOtherLeases: false };
      return observeNetwork(desired, { ...host, dnsmasq: running, applied: { ...host.applied, dnsmasq } })
        .dnsmasq.isUnbound;
    };
    assert.equal(isUnbound({ pid: 7, linkIndex: 4 }), false);
    assert.equal(isUnbound({ pid: 7, linkIndex: 3 }), true);
    assert.equal(isUnbound({ pid: 6, linkIndex: 3 }), false);
    assert.equal(isUnbound(null), false);
  },
);

observes('a kernel is replaced only if modules of others are installed, and not its own', () => {
  assert.equal(isKernelReplaced('6.1', ['6.12']), true);
  assert.equal(isKernelReplaced('6.1', ['6.1', '6.12']), false);
  assert.equal(isKernelReplaced('6.1', []), false, 'a kernel without modules');
});

observes('the costs that the kernel gives by the speed of a link are none of the options of a port', () => {
  const optionsWith = (data: object) => {
    const found = portsOutput({}, { ifname: 'vnet0', info_kind: 'tun', data });
    return observeNetwork(desired, { ...host, ...found }).taps[0]?.options;
  };
  for (const cost of [100, 19, 5, 2]) assert.deepEqual(optionsWith({ cost }), {}, String(cost));
  assert.deepEqual(optionsWith({ priority: 32, multicast_router: 1, bcast_flood: true }), {});
  assert.deepEqual(optionsWith({ cost: 77, priority: 9, multicast_router: 2, bcast_flood: false }), {
    bcast_flood: false,
    cost: 77,
    'port priority': 9,
    mcast_router: 2,
  });
});

observes('a tap in another bridge keeps what its port in the bridge had', () => {
  const moved = portsOutput({}, { ifname: 'vnet0', data: { learning: false } }).links;
  const links = moved.map(link => (link.name === 'vnet0' ? { ...link, master: 'br9' } : link));
  const [tapState] = observeNetwork(desired, { ...host, links }).taps;
  assert.deepEqual(tapState?.options, { hairpin: true });
  assert.deepEqual(tapState?.entries, [{ mac: mac(5), isSticky: true }]);
});

observes('a tap has nothing from its last port whose name is that of a property of every object', () => {
  const odd = { ...desired, taps: [tap('constructor')] };
  const { links } = portsOutput({}, { ifname: 'constructor', data: {} });
  const outside = links.map(link => ({ ...link, master: null, port: null }));
  const [{ options, entries } = {}] = observeNetwork(odd, { ...host, links: outside }).taps;
  assert.deepEqual([options, entries], [{}, []]);
});

observes('VLANs are read by link, each with its options, and set by as few processes as ranges allow', () => {
  const vlan = (vid: number, isPvid = false, isUntagged = isPvid) => ({ vid, isPvid, isUntagged });
  const untagged = ['PVID', 'Egress Untagged'];
  const output = [
    { ifname: 'br0', vlans: [{ vlan: 1, flags: untagged }] },
    { ifname: 'vnet0', vlans: [{ vlan: 10, flags: untagged }, { vlan: 20, vlanEnd: 21 }, { vlan: 22 }] },
  ];
  const read = parseVlans(JSON.stringify(output));
  const wanted = [vlan(10, true), vlan(20), vlan(21), vlan(22)];
  assert.deepEqual(
    [...read],
    [
      ['br0', [vlan(1, true)]],
      ['vnet0', wanted],
    ],
  );
  assert.deepEqual(parseVlans(''), new Map());
  const commands = vlanCommands('vnet0', 'br0', [vlan(1, true), vlan(2), vlan(20)], wanted);
  assert.deepEqual(
    commands.map(command => command.join(' ')),
    [
      'vlan delete vid 1 dev vnet0',
      'vlan delete vid 2 dev vnet0',
      'vlan add vid 10 dev vnet0 pvid untagged',
      'vlan add vid 20-22 dev vnet0',
    ],
  );
  assert.deepEqual(vlanCommands('br0', 'br0', [vlan(3), vlan(4)], []), [
    ['vlan', 'delete', 'vid', '3-4', 'dev', 'br0', 'self'],
  ]);
});

observes('a bridge that was renamed is found by the index that dnsmasq knows, and read with its name', () => {
  const { links, routes } = portsOutput({}, { ifname: 'vnet0', data: {} });
  const named = withName({ links, routes, routingRules: [] }, 'br0', 'odd');
  const index = links.find(({ name }) => name === 'br0')?.index ?? 0;
  const record = (linkIndex: number) => ({ dnsmasq: { pid: 7, linkIndex } });
  assert.equal(named.links.find(({ name }) => name === 'vnet0')?.master, 'odd');
  assert.equal(presentName('br0', named, record(index)), 'odd');
  assert.deepEqual(withName(named, 'odd', 'br0').links, links);
  assert.equal(presentName('br0', named, record(index + 77)), null, 'another bridge');
  assert.equal(presentName('br0', named, { dnsmasq: null }), null);
  assert.equal(presentName('br0', { links }, record(index)), null, 'it has its name');
});

observes('a tap outside of the bridge, and a bridge that is gone, keep the VLANs that they were in', () => {
  const vlan10 = { vid: 10, isPvid: true, isUntagged: true };
  const vlan20 = { vid: 20, isPvid: false, isUntagged: false };
  const recorded = { defaultVlan: 7, byLink: { vnet0: [vlan10], br0: [vlan20] } };
  const found = { defaultVlan: 1, byLink: new Map([['vnet0', [vlan20]]]) };
  const observe = (links: HostReading['links'], vlans: HostReading['vlans']) => {
    const { taps, bridgeVlans } = observeNetwork(desired, {
      ...host,
      links,
      vlans,
      applied: { ...host.applied, vlans: recorded },
    });
    return [taps[0]?.vlans, bridgeVlans];
  };
  const inside = portsOutput({}, { ifname: 'vnet0', data: {} }).links;
  const outside = inside.map(link => ({ ...link, master: null, port: null }));
  assert.deepEqual(observe(inside, found), [[vlan20], { defaultVlan: 1, own: [] }]);
  assert.deepEqual(observe(inside, null), [null, null], 'it keeps them apart no longer');
  assert.deepEqual(observe(outside, found), [[vlan10], { defaultVlan: 1, own: [] }]);
  const withoutBridge = outside.filter(({ name }) => name !== 'br0');
  assert.deepEqual(observe(withoutBridge, null), [[vlan10], { defaultVlan: 7, own: [vlan20] }]);
});

observes(
  'static entries are read in the order of their MACs, without those of one VLAN or of a tunnel',
  () => {
    const entry = (fields: object) => ({
      ifname: 'vnet0',
      flags: [],
      master: 'br0',
      state: 'static',
      ...fields,
    });
    const output = JSON.stringify([
      entry({ mac: '52:54:00:00:00:0b', flags: ['sticky'] }),
      entry({ mac: '52:54:00:00:00:0b', flags: ['sticky'], vlan: 1 }),
      entry({ mac: '52:54:00:00:00:0a' }),
      entry({ mac: '52:54:00:00:00:0c', state: '' }),
      entry({ mac: '52:54:00:00:00:0d', flags: ['self'] }),
      entry({ mac: 'odd' }),
    ]);
    const read = parseStaticEntries(output);
    assert.deepEqual(read.get('vnet0'), [
      { mac: mac(10), isSticky: false },
      { mac: mac(11), isSticky: true },
    ]);
    assert.deepEqual(parseStaticEntries(''), new Map());
  },
);

observes(
  'frames to a MAC are for the host if the table of a bridge has a permanent entry of the bridge',
  () => {
    const listed = (flags: string[]) =>
      JSON.stringify([{ mac: '52:54:00:00:00:0a', ifname: 'br0', flags, state: 'permanent' }]);
    assert(isOwnMac(listed([]), mac(10)));
    assert(!isOwnMac(listed([]), mac(11)));
    assert(!isOwnMac(listed(['self']), mac(10)), 'that of a link without a bridge');
    assert(!isOwnMac('', mac(10)));
  },
);

observes(
  'an entry without age in the table of a bridge may be a static one, unless it is the own one of a port',
  () => {
    const bytes = (isOwn: number, age: number) => [82, 84, 0, 0, 0, 10, 1, isOwn, age, 0, 0, 0, 0, 0, 0, 0];
    assert(mayHaveStaticEntries(Buffer.from([...bytes(1, 0), ...bytes(0, 7), ...bytes(0, 0)])));
    assert(!mayHaveStaticEntries(Buffer.from([...bytes(1, 0), ...bytes(0, 7)])));
    assert(!mayHaveStaticEntries(Buffer.from([])));
  },
);

observes('options of a port are those that differ from a new one', () => {
  const data = { no: '0x1', isolated: true, hairpin: false, learning: false, flood: true };
  const found = portsOutput({}, { ifname: 'vnet0', info_kind: 'tun', data });
  const { taps } = observeNetwork(desired, { ...host, ...found });
  assert.deepEqual(taps[0]?.options, { isolated: true, learning: false });
});

observes('the observed state is limited to what is desired, and includes the drift of rules', () => {
  const observed = observeNetwork(desired, host);
  assert.equal(observed.link?.mac, mac(1));
  assert.deepEqual(observed.dummy, { mac: mac(3), mtu: 1500, up: false, master: 'br0' });
  assert.deepEqual(observed.ownAddresses, wanted.addresses);
  const vnet0 = {
    name: 'vnet0',
    up: true,
    mtu: 1500,
    master: null,
    options: { hairpin: true },
    entries: [{ mac: mac(5), isSticky: true }],
    vlans: null,
    groupForwardMask: 0,
  };
  assert.deepEqual(observed.taps, [vnet0], 'without a tap that does not exist');
  assert.deepEqual([...observed.sysctls], [['a', '1']]);
  assert.deepEqual(observed.rules, [
    {
      backend: 'nftables',
      family: 'ipv4',
      loaded: 'SCRIPT',
      present: true,
      drift: [
        { kind: 'missing', rule: 'drop' },
        { kind: 'overruled', rule: '-A POSTROUTING -j SNAT' },
      ],
      translations: [],
    },
    { backend: 'iptables', family: 'ipv4', loaded: null, present: false, drift: [], translations: [] },
  ]);
  assert.deepEqual(observed.published, { reservations: ['line'], names: ['name'] });
});

observes('a link that has the name of the bridge and another type is an error with a remedy', () => {
  const links = reading.links.map(link => (link.name === 'br0' ? { ...link, type: 'bond' } : link));
  assert.throws(
    () => observeNetwork(desired, { ...host, links }),
    (error: { code?: string; message?: string }) =>
      error.code === 'wrong-link' && /^br0 is a link of type bond, not a bridge: /.test(error.message ?? ''),
  );
});

observes.run();
