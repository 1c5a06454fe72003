// steps.test.ts: tests the description of each kind of step.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import { type IpAddress, parseIp } from '../../src/address/ip.ts';
import { stepJson } from '../../src/commands/step-list.ts';
import { checksumScript } from '../../src/firewall/iptables.ts';
import { nftables } from '../../src/firewall/nftables.ts';
import type { Translation } from '../../src/firewall/translation.ts';
import { belongingElements, noElements } from '../../src/guard/elements.ts';
import { describeStep, type Step, stepForms } from '../../src/network/steps/steps.ts';
import { assertForm } from '../json-forms.ts';
import { bridgeWith, ip, mac, network, rulesetOf, uuid } from './builders.ts';

const describe = suite('describe');

const link = 'br0';
const bridge = 'br0';
const path = '/var/lib/dnsmasq/br0/dnsmasq.conf';
const state = bridgeWith([]);
const address = { ip: ip('10.0.0.1'), prefixLength: 24, broadcast: ip('10.0.0.255') };
const nft = nftables.render(rulesetOf(network()));
const checksum = checksumScript(bridge);
const on = network();

const tunnel = {
  mac: mac(3),
  mtu: 1450,
  vni: 100,
  local: ip('10.0.0.2'),
  peers: [ip('10.0.0.3')],
  learns: true,
  speaker: null,
  filter: 'F',
};

const tenNet = { network: ip('10.0.0.0'), length: 8 };

function translation(changes: Partial<Translation>): Translation {
  const ports = { first: 8443, last: 8443 };
  return { protocol: 'tcp', ports, address: null, from: null, to: ip('10.0.0.7'), toPort: null, ...changes };
}
const linkNames = {
  servers: ['10.0.0.1'],
  domains: ['lan.internal', '0.0.10.in-addr.arpa', '1.0.10.in-addr.arpa'].map(name => ({
    name,
    routingOnly: true,
  })),
  isConfined: true,
};

const table = 'table bridge virlan-br0 {}';
const belongings = belongingElements({ macs: [mac(1)], addresses: [ip('10.0.0.7')] });
const tap = { tap: 'vnet0', index: 7, uuid: uuid(1), group: null, elements: belongings };

/** One or more steps of each kind, with their first line and the lines below it. */
const cases: [step: Step, line: string, ...more: string[]][] = [
  [{ kind: 'add bridge', link, state }, '+ bridge br0: 52:54:00:00:00:01, MTU 1500, STP on'],
  [
    { kind: 'add bridge', link, state: { ...state, stp: false } },
    '+ bridge br0: 52:54:00:00:00:01, MTU 1500, STP off',
  ],
  [
    { kind: 'add dummy', link: 'br0-nic', state: { mac: mac(2), mtu: 1500, up: true, master: link } },
    '+ dummy NIC br0-nic: 52:54:00:00:00:02',
  ],
  [{ kind: 'remove link', link, type: 'bridge' }, '- bridge br0: '],
  [{ kind: 'remove link', link: 'br0-nic', type: 'dummy' }, '- dummy NIC br0-nic: '],
  [{ kind: 'remove link', link: 'br0-vx', type: 'vxlan' }, '- tunnel br0-vx: '],
  [{ kind: 'add tunnel', link: 'br0-vx', tunnel }, '+ tunnel br0-vx: VNI 100 from 10.0.0.2, MTU 1450'],
  [
    { kind: 'set peers', link: 'br0-vx', missing: [ip('10.0.0.3')], surplus: [ip('10.0.0.9')] },
    '~ hosts behind br0-vx: 2 changes',
    '+ 10.0.0.3',
    '- 10.0.0.9',
  ],
  [
    { kind: 'connect tunnel', link: 'br0-vx', bridge, tunnel, drift: [{ kind: 'missing', rule: 'x' }] },
    '~ br0-vx: into br0, behind its filter',
    '- x',
  ],
  [
    { kind: 'connect tunnel', link: 'br0-vx', bridge, tunnel, drift: [{ kind: 'reordered' }] },
    '~ br0-vx: into br0, behind its filter',
    'rules are in another order, or duplicated',
  ],
  [{ kind: 'remove tunnel filter', bridge }, '- filter of the tunnel: of br0'],
  [
    {
      kind: 'configure bgp',
      as: 65_000,
      isNew: true,
      removes: 64_999,
      surplus: [{ family: null, command: 'neighbor 10.0.0.9 peer-group virlan' }],
      missing: [{ family: 'l2vpn evpn', command: 'advertise-all-vni' }],
      problem: null,
    },
    '~ bgpd of FRR: AS 65000, 3 changes',
    '- router bgp 64999',
    '- neighbor 10.0.0.9 peer-group virlan',
    '+ advertise-all-vni',
  ],
  [
    {
      kind: 'withdraw bgp',
      as: 65_000,
      isNew: false,
      removes: 65_000,
      surplus: [],
      missing: [],
      problem: null,
    },
    '- bgpd of FRR: AS 65000, 1 change',
    '- router bgp 65000',
  ],
  [{ kind: 'set link', link, attribute: 'state', from: 'down', to: 'up' }, '~ link of br0: down → up'],
  [
    { kind: 'set link', link, attribute: 'forward delay', from: 1500, to: 200 },
    '~ forward delay of br0: 1500 → 200',
  ],
  [{ kind: 'set link', link: 'vnet0', attribute: 'bridge', from: null, to: link }, '~ vnet0: into br0'],
  [
    { kind: 'set link', link: 'vnet0', attribute: 'bridge', from: 'br1', to: link },
    '~ vnet0: into br0, out of br1',
  ],
  [{ kind: 'set link', link: 'vnet0', attribute: 'bridge', from: 'br1', to: null }, '~ vnet0: out of br1'],
  [
    { kind: 'set link', link: 'vnet0', attribute: 'hairpin', from: false, to: true },
    '~ hairpin of vnet0: off → on',
  ],
  [
    { kind: 'set link', link: 'vnet0', attribute: 'group_fwd_mask', from: 0, to: 1 },
    '~ vnet0: out of the spanning tree, whose root it led to',
  ],
  [{ kind: 'add address', link, address }, '+ address on br0: 10.0.0.1/24, broadcast 10.0.0.255'],
  [
    { kind: 'remove address', link, address: { ...address, broadcast: null } },
    '- address on br0: 10.0.0.1/24',
  ],
  [{ kind: 'add route', link, address }, '+ route on br0: 10.0.0.0/24'],
  [{ kind: 'set sysctl', key: 'net.ipv4.ip_forward', from: '0', to: '1' }, '~ net.ipv4.ip_forward: 0 → 1'],
  [{ kind: 'set sysctl', key: 'net.ipv4.ip_forward', from: null, to: '1' }, '~ net.ipv4.ip_forward: 1'],
  [{ kind: 'write file', path, from: null, to: 'a\n' }, `+ ${path}: `],
  [{ kind: 'write file', path, from: 'a\nb\n', to: 'b\nc\n' }, `~ ${path}: `, '- a', '+ c'],
  [{ kind: 'remove file', path, from: 'a\n' }, `- ${path}: `],
  [
    {
      kind: 'end connections',
      bridge,
      from: { subnet: '10.0.0.0/24', isTranslated: true },
      to: { subnet: '10.0.0.0/24', isTranslated: false },
    },
    '- connections: that machines of 10.0.0.0/24 began before',
  ],
  [{ kind: 'set mode', bridge, path, from: 0o700, to: 0o755 }, `~ mode of ${path}: 0700 → 0755`],
  [
    {
      kind: 'load rules',
      role: 'primary',
      backend: 'nftables',
      family: 'ipv4',
      bridge,
      script: nft,
      drift: [],
    },
    '+ firewall (nftables): table ip virlan-br0, 35 rules',
  ],
  [
    {
      kind: 'load rules',
      role: 'primary',
      backend: 'iptables',
      family: 'ipv4',
      bridge,
      script: checksum,
      drift: [{ kind: 'missing', rule: 'x' }],
    },
    '~ firewall (iptables): iptables chains VIRLAN-…-br0, 2 rules',
    '- x',
  ],
  [
    {
      kind: 'load rules',
      role: 'primary',
      backend: 'iptables',
      family: 'ipv4',
      bridge,
      script: checksum,
      drift: [{ kind: 'overruled', rule: '-A POSTROUTING -j SNAT' }],
    },
    '~ firewall (iptables): iptables chains VIRLAN-…-br0, 2 rules',
    'behind -A POSTROUTING -j SNAT',
  ],
  [
    { kind: 'remove rules', backend: 'nftables', family: 'ipv4', bridge },
    '- firewall (nftables): table ip virlan-br0',
  ],
  [
    { kind: 'remove rules', backend: 'iptables', family: 'ipv4', bridge },
    '- firewall (iptables): iptables chains VIRLAN-…-br0',
  ],
  [
    { kind: 'remove leftovers', flavour: 'legacy', family: 'ipv4', bridge },
    '- firewall (iptables-legacy): iptables chains VIRLAN-…-br0',
  ],
  [
    { kind: 'write reservations', network: on, bridge, missing: ['a', 'b'], stale: ['c'] },
    '~ /var/lib/dnsmasq/br0/hostsfile: 3 of its lines',
    '+ a',
    '+ b',
    '- c',
  ],
  [
    { kind: 'write names', network: on, bridge, missing: ['10.0.0.2 web'], stale: [] },
    '~ /var/lib/dnsmasq/br0/names: 1 of its lines',
    '+ 10.0.0.2 web',
  ],
  [
    { kind: 'load guard', bridge, guard: { table, belongings, taps: [tap] }, isPresent: false, drift: [] },
    '+ guard: table bridge virlan-br0, 1 tap',
  ],
  [
    {
      kind: 'load guard',
      bridge,
      guard: { table, belongings, taps: [] },
      isPresent: true,
      drift: [{ kind: 'reordered' }],
    },
    '~ guard: table bridge virlan-br0, 0 taps',
    'rules are in another order, or duplicated',
  ],
  [
    { kind: 'change guard', bridge, taps: [tap], missing: belongings, surplus: noElements },
    '~ guard: table bridge virlan-br0, elements: 3 more, 0 less',
  ],
  [{ kind: 'remove guard', bridge }, '- guard: table bridge virlan-br0'],
  [
    {
      kind: 'change forwards',
      backend: 'nftables',
      bridge,
      all: [],
      missing: [translation({ toPort: 443 })],
      stale: [translation({ ports: { first: 8443, last: 8450 }, address: ip('192.0.2.5'), from: tenNet })],
    },
    '~ forwards to br0: 2 changes',
    '+ tcp/8443 → 10.0.0.7:443',
    '- tcp/8443-8450 on 192.0.2.5 from 10.0.0.0/8 → 10.0.0.7',
  ],
  [
    {
      kind: 'allow in',
      firewall: 'ufw',
      bridge,
      rules: [
        { kind: 'tuple', tuple: 'route:allow any any 0.0.0.0/0 any 10.0.0.0/24 in_br0' },
        { kind: 'reload' },
      ],
    },
    '+ ufw: lets br0 pass, 2 lines',
    'ufw route allow in on br0 from 10.0.0.0/24 to 0.0.0.0/0',
    'ufw reload',
  ],
  [
    {
      kind: 'withdraw from',
      firewall: 'docker',
      bridge,
      rules: [{ kind: 'iptables-rule', rule: '-A DOCKER-USER -i br0 -j ACCEPT' }],
    },
    '- docker: forgets br0, 1 line',
    'iptables -A DOCKER-USER -i br0 -j ACCEPT',
  ],
  [
    { kind: 'add entry', link: 'vnet0', entry: { mac: mac(5), isSticky: false } },
    `+ static entry of vnet0: ${mac(5)}`,
  ],
  [
    {
      kind: 'set vlans',
      link: 'vnet0',
      bridge,
      vlans: [
        { vid: 10, isPvid: true, isUntagged: true },
        { vid: 20, isPvid: false, isUntagged: false },
      ],
    },
    '~ VLANs of vnet0: 10 PVID untagged, 20',
  ],
  [{ kind: 'set vlans', link: bridge, bridge, vlans: [] }, '~ VLANs of br0: none'],
  [{ kind: 'rename bridge', link: 'odd', to: bridge }, '~ bridge odd: is br0 again'],
  [{ kind: 'filter vlans', link: bridge, defaultVlan: 1 }, '~ br0: keeps VLANs apart'],
  [
    { kind: 'claim links', manager: 'NetworkManager', bridge, from: 'a\nb', to: 'a\nc' },
    '~ NetworkManager: leaves the links of br0 alone',
    '- b',
    '+ c',
  ],
  [
    { kind: 'release links', manager: 'systemd-networkd', bridge, from: 'a' },
    '- systemd-networkd: forgets the links of br0',
  ],
  [
    { kind: 'tell resolved', bridge, from: null, to: linkNames },
    '+ systemd-resolved: asks br0 for lan.internal, 0.0.10.in-addr.arpa, …',
  ],
  [{ kind: 'revert resolved', bridge }, '- systemd-resolved: forgets br0'],
  [
    { kind: 'tell NetworkManager', bridge, from: null, to: 'server=/lan.internal/10.0.0.1' },
    '+ NetworkManager: its dnsmasq asks br0 for names',
  ],
  [{ kind: 'forget NetworkManager', bridge }, '- NetworkManager: its dnsmasq forgets br0'],
  [{ kind: 'start dnsmasq', bridge }, '+ dnsmasq: DHCP and DNS on br0'],
  [
    { kind: 'stop dnsmasq', bridge, pid: 7, isStopped: false, isUnbound: false, hasOtherLeases: false },
    '- dnsmasq: process 7',
  ],
];

describe('each kind of step has its description', () => {
  for (const [step, line, ...more] of cases) {
    const { sign, subject, detail, lines } = describeStep(step);
    assert.equal(`${sign} ${subject}: ${detail}`, line);
    assert.deepEqual(lines, more);
  }
});

describe('there is a case for each kind of step', () => {
  assert.deepEqual([...new Set(cases.map(([{ kind }]) => kind))].sort(), Object.keys(stepForms()).sort());
});

describe('docs/json.md names every kind of step, and no other', () => {
  const table = /\| `do` \|[\s\S]*?\n\n/.exec(readFileSync('docs/json.md', 'utf8'))?.[0] ?? '';
  const rows = table.split('\n').slice(2);
  const named = rows.flatMap(row =>
    [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, kind]) => kind),
  );
  assert.deepEqual(named.sort(), Object.keys(stepForms()).sort());
});

describe('JSON has the kind as do, the fields, and addresses of both families as texts', () => {
  const text = '+ address on br0: 10.0.0.1/24, broadcast 10.0.0.255';
  const inJson = { ip: '10.0.0.1', prefixLength: 24, broadcast: '10.0.0.255' };
  assert.deepEqual(stepJson({ kind: 'add address', link, address }), {
    do: 'add address',
    link,
    address: inJson,
    text,
    sign: '+',
    lines: [],
  });
  const ipv6 = { ip: anyIp('fd00::1'), prefixLength: 64, broadcast: null };
  const bridgeStep = stepJson({ kind: 'add bridge', link, state: { ...state, addresses: [address, ipv6] } });
  assert.deepEqual(JSON.parse(JSON.stringify(bridgeStep)).state.addresses, [
    inJson,
    { ip: 'fd00::1', prefixLength: 64, broadcast: null },
  ]);
  for (const [step] of cases) {
    const { do: kind, ...fields } = JSON.parse(JSON.stringify(stepJson(step)));
    assert.equal(kind, step.kind);
    assert.doesNotMatch(JSON.stringify(fields), /"(ip|broadcast|local|peers|missing|surplus)":\[?\d/);
  }
});

describe('JSON of each kind has the form of docs/schema/plan.json, and nothing is lost in it', () => {
  for (const [step] of cases) {
    const json = JSON.parse(JSON.stringify(stepJson(step)));
    assertForm('plan', { changes: 1, host: [], 'network lan': [json] });
  }
  const addr6 = ['0x505400fffe000001'];
  const elements = { macs: ['0x525400000001'], addr4: ['10.0.0.7'], addr6 };
  const step: Step = { kind: 'change guard', bridge, taps: [tap], missing: belongings, surplus: noElements };
  const { missing, surplus } = JSON.parse(JSON.stringify(stepJson(step)));
  assert.deepEqual([missing, surplus], [elements, {}]);
});

function anyIp(text: string): IpAddress {
  const address = parseIp(text);
  assert(address !== null);
  return address;
}

describe.run();
