// cluster.test.ts: tests a network over several hosts: its configuration, what is desired, its plan and its filter.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { prefixOf } from '../../src/address/ip.ts';
import { parseTunnelTable, peerCommands } from '../../src/cluster/fdb.ts';
import { type FilteredTunnel, loadFilterScript, renderFilter } from '../../src/cluster/filter.ts';
import {
  compareTunnels,
  type FoundTunnel,
  type Tunnel,
  type TunnelChange,
  type TunnelLink,
} from '../../src/cluster/tunnel.ts';
import { formatConfigProblem, type NetworkConfig } from '../../src/config/config.ts';
import { parseConfig } from '../../src/config/parse.ts';
import { desiredNetwork, type HostFacts } from '../../src/network/desired.ts';
import { dummyName, tunnelName } from '../../src/network/state/link-names.ts';
import { config, ip, mac, network, rulesetOf } from './builders.ts';
import { assertGolden } from './golden.ts';

const cluster = suite('cluster');

const etcd = ['etcd = https://10.0.0.11:2379, https://[fd00::1]:2379'];
const ends = ['[cluster]', 'address = 10.0.0.2', 'peers = 10.0.0.1, 10.0.0.3'];
const onSeveral = ['[network.k8s-br0]', 'vni = 100', 'dhcp-range = 192.168.100.100-192.168.100.199'];

/** Returns the network of a host of a cluster, with more lines in its section. */
function shared(...lines: readonly string[]): NetworkConfig {
  const [found] = config([...onSeveral, ...lines, ...ends].join('\n')).networks;
  assert(found);
  return found;
}

cluster('a network with vni has a tunnel, and no spanning tree', () => {
  const { tunnel, stp } = shared();
  assert.deepEqual(tunnel, {
    vni: 100,
    address: ip('10.0.0.2'),
    peers: [ip('10.0.0.1'), ip('10.0.0.3')],
    evpn: null,
  });
  assert.equal(stp, false);
  assert.equal(network().stp, true);
  assert.equal(network().tunnel, null);
});

cluster('a [cluster] section alone changes nothing', () => {
  assert.deepEqual(config(ends.join('\n')), config(''));
});

cluster('with etcd all hosts have the same range, strangers get no address, and files may be named', () => {
  const files = [
    'ca = /ca.pem',
    'cert = /a.pem',
    'key = /a.key',
    'username = virlan',
    'password-file = /password',
  ];
  const read = config(
    ['[network.lan]', 'vni = 100', '[cluster]', 'address = 10.0.0.2', 'peers = etcd', ...etcd, ...files].join(
      '\n',
    ),
  );
  assert.deepEqual(read.etcd, {
    endpoints: ['https://10.0.0.11:2379', 'https://[fd00::1]:2379'],
    address: ip('10.0.0.2'),
    namesPeers: true,
    ca: '/ca.pem',
    cert: '/a.pem',
    key: '/a.key',
    user: { name: 'virlan', passwordFile: '/password' },
  });
  const [lan] = read.networks;
  assert.deepEqual([lan?.sharesLedger, lan?.strangers, lan?.tunnel?.peers], [true, false, []]);
  assert.deepEqual(lan?.range, { first: ip('192.168.100.2'), last: ip('192.168.100.254') });
});

cluster('a host that nobody has joined yet takes packets of tunnels from nobody', () => {
  assert.match(
    renderFilter({ ...filtered, hosts: { kind: 'addresses', addresses: [] } }),
    /ip saddr != \{ 127\.0\.0\.1 \} drop/,
  );
});

/** Lines of virlan.ini, and the problem as a user reads it. */
const refused: [lines: readonly string[], problem: string][] = [
  [[...onSeveral], '2: vni = 100: needs a [cluster] section with address = and peers ='],
  [['[network.lan]', 'vni = 0'], '2: vni = 0: write a number from 1 to 16777215'],
  [['[network.lan]', 'vni = 16777216'], '2: vni = 16777216: write a number from 1 to 16777215'],
  [
    ['[network.lan]', 'vni = 100', ...ends],
    '1: [network.lan]: has vni, and needs dhcp-range: a part of the subnet that no other host of the cluster gives addresses of, or etcd =',
  ],
  [
    [...onSeveral, 'stp = yes', ...ends],
    '4: stp = yes: is not possible with vni: the tunnels would be a loop for it. Remove it',
  ],
  [
    [...onSeveral, 'mode = routed', ...ends],
    '4: mode = routed: is not possible with vni: the outside would reach a machine only by way of its own host. Choose another mode',
  ],
  [
    [...onSeveral, 'reaches = lab', ...ends, '[network.lab]', 'subnet = 10.9.0.0/24'],
    '4: reaches = lab: is not possible with vni: machines of other hosts would not be reached',
  ],
  [
    [
      ...onSeveral,
      '[network.lab]',
      'vni = 100',
      'subnet = 10.9.0.0/24',
      'dhcp-range = 10.9.0.5-10.9.0.9',
      ...ends,
    ],
    '5: vni = 100: is also that of [network.k8s-br0]: choose another',
  ],
  [
    [...onSeveral, '[cluster]', 'address = 192.168.100.7', 'peers = 10.0.0.1'],
    '5: address = 192.168.100.7: 192.168.100.7 is inside 192.168.100.0/24, which [network.k8s-br0] carries through the tunnels: write addresses of the hosts',
  ],
  [
    [...onSeveral, '[cluster]', 'address = 10.0.0.2', 'peers = 10.0.0.1, 10.0.0.2'],
    "6: peers = 10.0.0.1, 10.0.0.2: 10.0.0.2 is this host's own address: name the other hosts only",
  ],
  [
    [...onSeveral, '[cluster]', 'address = 10.0.0.2', 'peers = 10.0.0.1, 10.0.0.1'],
    '6: peers = 10.0.0.1, 10.0.0.1: names 10.0.0.1 twice',
  ],
  [['[cluster]', 'address = 10.0.0.2'], '1: [cluster]: has no peers: add a line peers = …'],
  [['[cluster]', 'address = 10.0.0.2', 'peers = etcd'], '3: peers = etcd: needs etcd ='],
  [
    ['[cluster]', 'address = 10.0.0.2', 'peers = 10.0.0.1, etcd'],
    '3: peers = 10.0.0.1, etcd: write the IPv4 addresses of the other hosts, such as 10.0.0.1, 10.0.0.3, or etcd',
  ],
  [
    [...ends, 'etcd = http://10.0.0.1:2379'],
    '4: etcd = http://10.0.0.1:2379: write URLs such as https://10.0.0.11:2379',
  ],
  [[...ends, ...etcd, 'ca = etcd.pem'], '5: ca = etcd.pem: write an absolute path'],
  [[...ends, 'ca = /ca.pem'], '4: ca = /ca.pem: needs etcd ='],
  [[...ends, ...etcd, 'cert = /a.pem'], '5: cert = /a.pem: needs key ='],
  [[...ends, 'cert = /a.pem', 'key = /b.pem'], '4: cert = /a.pem: needs etcd ='],
  [[...ends, 'username = virlan', 'password-file = /p'], '4: username = virlan: needs etcd ='],
  [[...ends, ...etcd, 'key = /a.key'], '5: key = /a.key: needs cert ='],
  [[...ends, ...etcd, 'username = virlan'], '5: username = virlan: needs password-file ='],
  [[...ends, ...etcd, 'password-file = /password'], '5: password-file = /password: needs username ='],
  [[...onSeveral, 'strangers = yes', ...ends, ...etcd], '4: strangers = yes: is not possible with etcd'],
  [[...onSeveral, ...ends, 'as = 65535'], '7: as = 65535: write the number of a private AS, such as 65000'],
  [
    [...onSeveral, ...ends, 'hosts = 10.0.0.0/24'],
    '7: hosts = 10.0.0.0/24: has no effect without as: add it, or remove this line',
  ],
  [
    [...onSeveral, ...ends, 'as = 65000', 'hosts = 10.1.0.0/24'],
    '8: hosts = 10.1.0.0/24: does not contain 10.0.0.2, the address of this host: write a network that contains all hosts',
  ],
  [[...ends, '[cluster]'], '4: [cluster]: exists twice, first in line 1: merge the two sections'],
];

for (const [lines, problem] of refused) {
  cluster(`refused: ${problem}`, () => {
    const result = parseConfig(lines.join('\n'));
    const found = result.ok ? [] : result.problems.map(each => formatConfigProblem('ini', each));
    assert.deepEqual(found, [`ini:${problem}`]);
  });
}

const facts: HostFacts = {
  machineId: '4c5e4ab2a2f84b5b8a5f0c6f0e9d1b7a',
  backends: ['nftables'],
  lacking: [],
  hasDummy: true,
  linkManagers: ['NetworkManager'],
  families: { nftables: ['ipv4', 'ipv6'], iptables: [] },
  keepsIpv6Off: true,
  defaultLinks: [],
  networksBehind: [],
  underlayMtu: 1500,
  taps: [{ name: 'vnet0', up: true, mtu: null, isolated: false, hairpin: 'leave' }],
  wanted: null,
  machineLines: [],
  recordLines: [],
  translations: [],
  routesLoopback: false,
  user: 'dnsmasq',
  extras: null,
  canWatchResolvConf: true,
};

function desiredOn(host: Partial<HostFacts>, ...lines: readonly string[]) {
  return desiredNetwork(shared(...lines), { ...facts, ...host }).network;
}

cluster('the MTU is that of the underlay less 50, for bridge, taps and DHCP', () => {
  const { link, dummy, taps, dnsmasq } = desiredOn({});
  assert.deepEqual([link?.mtu, dummy.state?.mtu, taps[0]?.mtu], [1450, 1450, 1450]);
  assert.match(dnsmasq.conf ?? '', /^dhcp-option=option:mtu,1450$/m);
  const mtuWith = (underlayMtu: number | null, ...lines: readonly string[]) =>
    desiredOn({ underlayMtu }, ...lines).link?.mtu;
  assert.equal(mtuWith(9000), 1500);
  assert.equal(mtuWith(9000, 'mtu = 9000'), 8950);
  assert.equal(mtuWith(1400, 'mtu = 1300'), 1300);
  assert.equal(mtuWith(null), 1450);
});

cluster('the gateway has the same MAC on every host, and a network of one host its own', () => {
  const macOn = (machineId: string, config: NetworkConfig) =>
    desiredNetwork(config, { ...facts, machineId }).network.link?.mac;
  assert.equal(macOn('a', shared()), '52:54:00:81:ff:5e');
  assert.equal(macOn('b', shared()), macOn('a', shared()));
  assert.notEqual(macOn('b', network()), macOn('a', network()));
});

cluster('managers of links leave the link of the tunnel alone', () => {
  const { managerFiles } = desiredOn({});
  assert.match(managerFiles.get('NetworkManager') ?? '', /interface-name:=k8s-br0-vx;/);
  const alone = desiredNetwork(network(), facts).network.managerFiles;
  assert.doesNotMatch(alone.get('NetworkManager') ?? '', /-vx/);
});

cluster('the names of links are short enough, and differ', () => {
  const bridge = 'a-long-bridge-1';
  const names = [tunnelName(bridge), tunnelName('a-long-bridge-2'), dummyName(bridge)];
  assert.equal(new Set(names).size, 3);
  assert(names.every(name => name.length <= 15));
  assert.equal(tunnelName('k8s-br0'), 'k8s-br0-vx');
});

cluster('with host-firewall = strict the packets of the tunnel reach the host', () => {
  const accepts = (config: NetworkConfig) =>
    rulesetOf(config).input.rules.some(
      ({ ports, protocol, verdict }) =>
        protocol === 'udp' && ports?.[0]?.first === 4789 && verdict.kind === 'accept',
    );
  assert.equal(accepts(shared('host-firewall = strict')), true);
  assert.equal(accepts(network('host-firewall = strict')), false);
});

const filtered: FilteredTunnel = {
  bridge: 'br0',
  link: 'br0-vx',
  mac: mac(2),
  vni: 100,
  hosts: { kind: 'addresses', addresses: [ip('10.0.0.1'), ip('10.0.0.3')] },
  gateway: { mac: mac(0xfe), ip: ip('192.168.100.1') },
};

cluster('the filter', () => {
  assertGolden('tunnel.nft', loadFilterScript('br0', renderFilter(filtered)));
});

cluster('with route reflectors, all hosts of a prefix send into the tunnel', () => {
  const [reflected] = config(
    [...onSeveral, ...ends, 'as = 65000', 'hosts = 10.0.0.7/24'].join('\n'),
  ).networks;
  assert.deepEqual(reflected?.tunnel?.evpn, {
    as: 65_000,
    hosts: prefixOf(ip('10.0.0.0'), 24),
  });
  const text = renderFilter({ ...filtered, hosts: { kind: 'prefix', prefix: prefixOf(ip('10.0.0.0'), 24) } });
  assert.match(text, /ip saddr != 10\.0\.0\.0\/24 drop/);
  assert.match(text, /ip daddr 10\.0\.0\.0\/24 udp dport 4789 drop/);
  assert.doesNotMatch(text, /10\.0\.0\.3/);
});

cluster('the entries of hosts are read among those of machines', () => {
  const output = JSON.stringify([
    { mac: '52:54:00:00:01:02', flags: [], master: 'br0', state: '' },
    { mac: '66:5e:05:36:11:4e', dst: '10.0.0.9', flags: ['self'], state: '' },
    { mac: '00:00:00:00:00:00', dst: '10.0.0.2', flags: ['self'], state: 'permanent' },
    { mac: '00:00:00:00:00:00', flags: ['self'], state: 'permanent' },
  ]);
  assert.deepEqual(parseTunnelTable(output), {
    peers: [ip('10.0.0.2')],
    macsBehind: new Map([[ip('10.0.0.9'), 1]]),
  });
  assert.deepEqual(parseTunnelTable(''), { peers: [], macsBehind: new Map() });
  assert.deepEqual(peerCommands('br0-vx', [ip('10.0.0.2')], [ip('10.0.0.9')]), [
    'fdb delete 00:00:00:00:00:00 dev br0-vx dst 10.0.0.9',
    'fdb append 00:00:00:00:00:00 dev br0-vx dst 10.0.0.2',
  ]);
});

const wanted: Tunnel = {
  mac: mac(2),
  mtu: 1450,
  vni: 100,
  local: ip('10.0.0.2'),
  peers: [ip('10.0.0.1'), ip('10.0.0.3')],
  learns: true,
  speaker: null,
  filter: 'FILTER',
};

const link: TunnelLink = {
  mac: mac(2),
  mtu: 1450,
  end: { vni: 100, local: ip('10.0.0.2'), learns: true },
  master: 'br0',
  up: true,
  isForEvpn: false,
};

const inForce = { present: true, loaded: 'FILTER', drift: [] };

const right: FoundTunnel = { bgp: null, link, peers: wanted.peers, macsBehind: new Map(), filter: inForce };

const nothing: FoundTunnel = {
  bgp: null,
  link: null,
  peers: [],
  macsBehind: new Map(),
  filter: { present: false, loaded: null, drift: [] },
};

const byBgp: Tunnel = {
  ...wanted,
  peers: [],
  learns: false,
  speaker: { as: 65_000, address: wanted.local, neighbours: wanted.peers },
};

const linkForBgp: TunnelLink = {
  ...link,
  end: { vni: 100, local: wanted.local, learns: false },
  isForEvpn: true,
};

const learntByBgp: FoundTunnel = { ...right, link: linkForBgp };

/** The desired and the found state, and the kinds of changes between them. */
const plans: [title: string, wanted: Tunnel | null, found: FoundTunnel, ...TunnelChange['kind'][]][] = [
  ['nothing there', wanted, nothing, 'add link', 'set peers', 'connect'],
  ['all as it should be', wanted, right],
  ['to be removed', null, right, 'remove link', 'remove filter'],
  ['to be removed, nothing there', null, nothing],
  ['a filter without a link, to be removed', null, { ...nothing, filter: inForce }, 'remove filter'],
  ['another MTU', wanted, { ...right, link: { ...link, mtu: 1500 } }, 'set mtu'],
  ['out of the bridge', wanted, { ...right, link: { ...link, master: null } }, 'connect'],
  ['in another bridge', wanted, { ...right, link: { ...link, master: 'br1' } }, 'connect'],
  ['down', wanted, { ...right, link: { ...link, up: false } }, 'connect'],
  ['a host is missing', wanted, { ...right, peers: [ip('10.0.0.1')] }, 'set peers'],
  ['a host too much', wanted, { ...right, peers: [...wanted.peers, ip('10.0.0.9')] }, 'set peers'],
  ['a host that FRR has named', byBgp, { ...learntByBgp, peers: [ip('10.0.0.9')] }],
  ['BGP in the place of learning', byBgp, right, 'remove link', 'add link', 'connect'],
  ['a port that learns', byBgp, { ...learntByBgp, link: { ...linkForBgp, isForEvpn: false } }, 'connect'],
  ['no filter', wanted, { ...right, filter: { ...inForce, present: false } }, 'connect'],
  ['another filter', wanted, { ...right, filter: { ...inForce, loaded: 'OLD' } }, 'connect'],
  [
    'a changed filter',
    wanted,
    { ...right, filter: { ...inForce, drift: [{ kind: 'missing', rule: 'x' }] } },
    'connect',
  ],
  [
    'a filter in another order',
    wanted,
    { ...right, filter: { ...inForce, drift: [{ kind: 'reordered' }] } },
    'connect',
  ],
  ...(
    [
      ['another number', { vni: 7, local: ip('10.0.0.2'), learns: true }],
      ['another address', { vni: 100, local: ip('10.0.0.7'), learns: true }],
      ['a link for BGP', { vni: 100, local: ip('10.0.0.2'), learns: false }],
      ['other keys', null],
    ] as const
  ).map(
    ([title, end]) =>
      [
        title,
        wanted,
        { ...right, link: { ...link, end } },
        'remove link',
        'add link',
        'set peers',
        'connect',
      ] as (typeof plans)[number],
  ),
];

for (const [title, goal, found, ...kinds] of plans) {
  cluster(`plan: ${title}`, () => {
    assert.deepEqual(
      compareTunnels('br0', goal, found).map(({ kind }) => kind),
      kinds,
    );
  });
}

cluster.run();
