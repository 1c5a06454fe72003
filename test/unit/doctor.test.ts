// doctor.test.ts: tests which findings follow from which facts. Their sentences are tested in words.test.ts.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import { formatIp, prefixOf } from '../../src/address/ip.ts';
import type { Mac } from '../../src/address/mac.ts';
import type { Detail, DetailKind, HostDetails } from '../../src/diagnosis/details.ts';
import { findBridgeDrop } from '../../src/diagnosis/doctor/bridge-drops.ts';
import { dnsmasqVersion, unpatchedCves } from '../../src/diagnosis/doctor/dnsmasq-cves.ts';
import { sharedMacs } from '../../src/diagnosis/doctor/duplicates.ts';
import {
  type DoctorHostFacts,
  type MachineFacts,
  type NetworkFacts,
  type NicFacts,
  noForwards,
} from '../../src/diagnosis/doctor/facts.ts';
import {
  hookDrivers,
  hookMark,
  hookNameBesideOthers,
  hookPlaces,
  hookStateOf,
} from '../../src/diagnosis/doctor/hooks.ts';
import { judgeHost } from '../../src/diagnosis/doctor/judge-host.ts';
import { judgeMachine, judgeNic } from '../../src/diagnosis/doctor/judge-machine.ts';
import { judgeNetwork } from '../../src/diagnosis/doctor/judge-network.ts';
import { judgeName } from '../../src/diagnosis/doctor/judge-reach.ts';
import { parsePortOwners, receiversOf } from '../../src/diagnosis/doctor/ports.ts';
import type { CheckId, Finding, State } from '../../src/diagnosis/finding.ts';
import { fixFor } from '../../src/diagnosis/words/words.ts';
import type { RuleDrift } from '../../src/firewall/drift.ts';
import { misleadingNeighbour, parseStaticNeighbours } from '../../src/network/kernel/static-neighbours.ts';
import type { LinkChange } from '../../src/network/state/state.ts';
import type { Step } from '../../src/network/steps/steps.ts';
import { makeBaseChains } from '../../src/other-firewalls/base-chains.ts';
import { shellQuoted } from '../../src/text.ts';
import { entry, hostileNames, ip, mac, network } from './builders.ts';

const doctor = suite('doctor');

const ssOutput = `udp   UNCONN 0      0          127.0.0.53%lo:53         0.0.0.0:*    users:(("systemd-resolve",pid=400,fd=13))
udp UNCONN 0 0 192.168.100.1:53 0.0.0.0:* users:(("dnsmasq",pid=86,fd=6))
udp UNCONN 0 0 0.0.0.0%k8s-br0:67 0.0.0.0:* users:(("dnsmasq",pid=86,fd=4))
udp UNCONN 0 0 0.0.0.0%virbr0:67 0.0.0.0:* users:(("dnsmasq",pid=99,fd=3))
tcp LISTEN 0 32 *:53 *:* users:(("na me",pid=7,fd=1),("b",pid=8,fd=1))
tcp LISTEN 0 32 [::]:53 [::]:*
tcp LISTEN 0 32 10.0.0.1:53 0.0.0.0:*
garbage`;

doctor(
  'port owners are parsed from the output of ss, and filtered by whether they receive packets to the bridge',
  () => {
    const owners = parsePortOwners(ssOutput);
    assert.equal(owners.length, 7);
    assert.deepEqual(owners[4], { protocol: 'tcp', address: '*', port: 53, program: 'na me', pid: 7 });
    const receivers = (port: number) =>
      receiversOf(owners, port, '192.168.100.1', 'k8s-br0').map(({ address, pid }) => `${address} ${pid}`);
    assert.deepEqual(receivers(53), ['192.168.100.1 86', '* 7', '[::] null']);
    assert.deepEqual(receivers(67), ['0.0.0.0%k8s-br0 86']);
  },
);

doctor('the CVEs of a dnsmasq version are listed without those in its changelog', () => {
  assert.equal(dnsmasqVersion('Dnsmasq version 2.92rel2  Copyright (c) 2000-2026'), '2.92rel2');
  assert.equal(dnsmasqVersion('dnsmasq: not found'), null);
  assert.deepEqual(unpatchedCves('2.92rel2', ''), []);
  assert.deepEqual(unpatchedCves('2.93', ''), []);
  assert.deepEqual(unpatchedCves('3.0', ''), []);
  assert.equal(unpatchedCves('2.92', '').length, 6);
  assert.equal(unpatchedCves('2.90', '').length, 6);
  assert.equal(unpatchedCves('2.89', '').length, 8);
  assert.equal(unpatchedCves('2.9', '').length, unpatchedCves('2.10', '').length);
  const changelog = 'CVE-2026-2291 CVE-2026-4890 CVE-2026-4891 CVE-2026-4893 CVE-2026-5172';
  assert.deepEqual(unpatchedCves('2.90', changelog), ['CVE-2026-4892']);
});

doctor('a MAC that several machines share is found, with their names', () => {
  const machines = [
    { name: 'a', macs: [mac(1), mac(2)] },
    { name: 'b', macs: [mac(3)] },
    { name: 'c', macs: [mac(2)] },
  ];
  assert.deepEqual(sharedMacs(machines), [{ mac: mac(2), machines: ['a', 'c'] }]);
});

doctor('a static entry of neighbours misleads only about an address that is promised to others', () => {
  const listed = [
    { dst: '192.168.100.7', lladdr: mac(9), state: ['PERMANENT'] },
    { dst: '192.168.100.8', lladdr: mac(9), extern_learn: null, state: ['NOARP'] },
    { dst: '192.168.100.9', lladdr: '00:00:00:00:00:00', state: ['NOARP'] },
    { dst: '192.168.100.10', state: ['FAILED'] },
    { dst: 'fe80::1', lladdr: mac(9), state: ['PERMANENT'] },
  ];
  const entries = parseStaticNeighbours(JSON.stringify(listed));
  assert.deepEqual(
    entries.map(entry => [formatIp(entry.ip), entry.mac]),
    [
      ['192.168.100.7', mac(9)],
      ['192.168.100.9', '00:00:00:00:00:00'],
    ],
  );
  assert.deepEqual(parseStaticNeighbours(''), []);
  const find = (address: string, ...macs: Mac[]) =>
    misleadingNeighbour('k8s-br0', entries, [{ ip: ip(address), macs }]);
  assert.deepEqual(find('192.168.100.7', mac(1)), {
    bridge: 'k8s-br0',
    ip: ip('192.168.100.7'),
    mac: mac(9),
    owner: mac(1),
  });
  assert.equal(find('192.168.100.7', mac(1), mac(9)), null, 'an earlier MAC of the machine');
  assert.equal(find('192.168.100.8', mac(1)), null, 'a program for routing keeps it');
  assert.equal(find('192.168.100.11', mac(1)), null);
});

doctor('a rule of the family bridge that may drop frames from machine to machine is found', () => {
  const find = (place: object, policy: string, expr: readonly object[], chain = 'f') => {
    const at = { family: 'bridge', table: 'corp', ...place };
    const base = { ...at, name: 'f', type: 'filter', hook: 'forward', prio: 0, policy };
    const nftables = [
      { table: { family: at.family, name: at.table } },
      { chain: base },
      { chain: { ...at, name: 'I-vnet0-mac' } },
      { rule: { ...at, chain: 'f', handle: 3, expr: [{ jump: { target: 'I-vnet0-mac' } }] } },
      { rule: { ...at, chain, handle: 4, expr } },
    ];
    return findBridgeDrop(makeBaseChains({ nft: JSON.stringify({ nftables }) }).ofFrames, ['vnet0', 'vnet1']);
  };
  const from = (link: string) => ({
    match: { op: '==', left: { meta: { key: 'iifname' } }, right: link },
  });
  const drop = { drop: null };
  const found = { family: 'bridge', table: 'corp', chain: 'f', rule: '4', links: { in: 'vnet1', out: null } };
  assert.deepEqual(find({}, 'accept', [from('vnet1'), drop]), {
    ...found,
    links: { in: null, out: 'vnet0' },
  });
  assert.equal(find({}, 'accept', [from('vnet1'), { accept: null }]), null);
  assert.equal(find({}, 'drop', [from('vnet9'), { accept: null }])?.rule, null, 'by the policy');
  assert.equal(find({}, 'drop', [{ accept: null }]), null);
  assert.equal(find({ table: 'virlan-k8s-br0' }, 'accept', [drop]), null, 'of the guard');
  assert.equal(find({ family: 'ip' }, 'accept', [drop]), null);
  assert.equal(find({}, 'accept', [drop], 'I-vnet0-mac'), null, 'of a filter of libvirt');
  assert.equal(findBridgeDrop([], ['vnet0']), null);
});

doctor('the first file with the mark is the hook of its driver', () => {
  const [main = '', beside = ''] = hookPlaces('qemu');
  assert.deepEqual([main, beside], ['/etc/libvirt/hooks/qemu', '/etc/libvirt/hooks/qemu.d/50-virlan']);
  const own = `#!/bin/sh\n${hookMark}libvirt's hook`;
  const otherHook = { path: main, text: '#!/bin/sh\n#virlan: no\n', isExecutable: true };
  assert.deepEqual(hookStateOf([]), { kind: 'missing' });
  assert.deepEqual(hookStateOf([otherHook]), { kind: 'missing' });
  assert.deepEqual(hookStateOf([otherHook, { path: beside, text: own, isExecutable: true }]), {
    kind: 'installed',
  });
  assert.deepEqual(hookStateOf([otherHook, { path: beside, text: own, isExecutable: false }]), {
    kind: 'not-executable',
    path: beside,
  });
});

doctor('the installer and the hooks use the mark and the name that the doctor looks for', () => {
  assert.deepEqual(hookDrivers, ['daemon', 'network', 'qemu']);
  for (const driver of hookDrivers) {
    const lines = readFileSync(`hooks/${driver}`, 'utf8').split('\n');
    assert(
      lines.some(line => line.startsWith(hookMark)),
      driver,
    );
  }
  const setup = readFileSync('install/setup', 'utf8');
  assert(setup.includes(`grep -q '^${hookMark}'`));
  assert.deepEqual(new Set(setup.match(/\b\d+-virlan\b/g)), new Set([hookNameBesideOthers]));
});

const host: DoctorHostFacts = {
  survey: { observed: { sysctls: new Map(), sysctlFile: null }, steps: [] },
  nftError: null,
  isNftNeeded: true,
  replacedKernel: null,
  conntrack: { count: 10, max: 65_536 },
  inotifyLimit: null,
  portOwners: [],
  dnsmasq: { version: '2.93', changelog: null },
  hooks: { daemon: { kind: 'installed' }, qemu: { kind: 'installed' }, network: { kind: 'installed' } },
};

/** Returns the only failure or warning among findings; null without one. */
function problemOf(findings: readonly Finding[]): Finding | null {
  const found = findings.filter(({ state }) => state === 'fail' || state === 'warn');
  assert(found.length <= 1, JSON.stringify(found));
  return found[0] ?? null;
}

function summary(findings: readonly Finding[]): [CheckId, State, DetailKind] | null {
  const found = problemOf(findings);
  return found === null ? null : [found.check, found.state, found.detail.kind];
}

/** Returns the detail of a finding without its kind. */
function fieldsOf(finding: Finding | null): object {
  const { kind: _, ...fields } = finding?.detail ?? { kind: null };
  return fields;
}

const usedUp: HostDetails['inotify-exhausted'] = { sysctl: 'fs.inotify.max_user_watches', max: 8192 };

const hosts: [Partial<DoctorHostFacts>, CheckId, State, DetailKind, fields: object][] = [
  [{ conntrack: { count: 65_536, max: 65_536 } }, 'kernel', 'fail', 'conntrack-full', { max: 65_536 }],
  [{ inotifyLimit: usedUp }, 'kernel', 'fail', 'inotify-exhausted', usedUp],
  [
    { replacedKernel: '6.1.0', nftError: 'nft: no' },
    'kernel',
    'fail',
    'kernel-replaced',
    { release: '6.1.0' },
  ],
  [{ nftError: 'nft: no' }, 'kernel', 'fail', 'nft-fails', { message: 'nft: no' }],
  [{ nftError: 'nft: no', isNftNeeded: false }, 'kernel', 'warn', 'nft-fails', { message: 'nft: no' }],
  [{ hooks: { qemu: { kind: 'missing' } } }, 'hooks', 'fail', 'hook-missing', { driver: 'qemu' }],
  [
    { hooks: { daemon: { kind: 'not-executable', path: '/x' } } },
    'hooks',
    'fail',
    'hook-not-executable',
    { driver: 'daemon', path: '/x' },
  ],
  [
    { dnsmasq: { version: '2.91', changelog: null } },
    'dnsmasq-version',
    'warn',
    'dnsmasq-unpatched',
    { version: '2.91', cves: unpatchedCves('2.91', ''), hasChangelog: false },
  ],
  [
    { dnsmasq: { version: '2.89', changelog: 'CVE-2026-2291 CVE-2026-4890 CVE-2026-4891 CVE-2026-4892' } },
    'dnsmasq-version',
    'warn',
    'dnsmasq-unpatched',
    {
      version: '2.89',
      cves: ['CVE-2026-4893', 'CVE-2026-5172', 'CVE-2023-50387', 'CVE-2023-50868'],
      hasChangelog: true,
    },
  ],
];

doctor('a correct host, a host without libvirt, and an unreadable host have no problem', () => {
  assert.equal(problemOf(judgeHost(host)), null);
  assert.equal(problemOf(judgeHost({ ...host, hooks: null, dnsmasq: null, conntrack: null })), null);
});

for (const [facts, check, state, kind, fields] of hosts) {
  doctor(`a host with a problem: ${kind} ${JSON.stringify(fields)}`, () => {
    const findings = judgeHost({ ...host, ...facts });
    assert.deepEqual(summary(findings), [check, state, kind]);
    assert.deepEqual(fieldsOf(problemOf(findings)), fields);
  });
}

const networkFacts: NetworkFacts = {
  survey: {
    network: network(),
    observed: {
      link: null,
      dnsmasq: { conf: null, pid: 86, isStopped: false, isUnbound: false, hasOtherLeases: false },
      otherPorts: [],
      tunnel: null,
    },
    steps: [],
    warnings: [],
    damage: null,
    tunnelDrops: [],
  },
  managed: null,
  droppingChains: [],
  unreadFirewalls: [],
  forwarding: new Map([['net.ipv4.conf.k8s-br0.forwarding', '1']]),
  uplink: { kind: 'via', dev: 'eth0', gateway: null },
  ownUplink: null,
  sharedMacs: [],
  unknownOwnMac: null,
  closedPath: null,
  misleading: null,
  bridgeDrop: null,
  probe: [],
  peers: [],
  sessions: [],
  etcd: null,
};

const closedPath = { path: '/data', isDirectory: true, uid: 0, gid: 0, mode: 0o700 };
const tunnel = { vni: 100, address: ip('10.0.0.1'), peers: [ip('10.0.0.2'), ip('10.0.0.3')], evpn: null };
const tunnelDrop = {
  way: 'arriving',
  peers: tunnel.peers,
  base: { family: 'inet', table: 'corp', name: 'in', hook: 'input', policy: 'drop' },
  chain: 'in',
  by: 'policy',
  rule: null,
  owner: null,
} as const;

/** Returns the findings about a network with a tunnel, as `CHECK STATE CODE`. */
function aboutTunnel(facts: Partial<NetworkFacts>, survey: Partial<NetworkFacts['survey']> = {}): string[] {
  const surveyed = { ...networkFacts.survey, network: { ...network(), tunnel }, ...survey };
  return judgeNetwork({ ...networkFacts, ...facts, survey: surveyed }, host)
    .filter(({ check }) => ['tunnel', 'bgp', 'peers'].includes(check))
    .map(({ check, state, detail }) => `${check} ${state} ${detail.kind}`);
}

doctor('a network with a tunnel has findings about this host and about each other one', () => {
  const answer = (peer: number, text: 'answers' | 'silent') =>
    ({ peer: ip(`10.0.0.${peer}`), answer: text, bytes: 1500, mtu: null }) as const;
  assert.deepEqual(aboutTunnel({ peers: [answer(2, 'answers'), answer(3, 'silent')] }), [
    'tunnel ok tunnel-in-force',
    'peers ok peer-answers',
    'peers fail peer-silent',
  ]);
  const leaving = { ...tunnelDrop, way: 'leaving' as const };
  assert.deepEqual(aboutTunnel({}, { tunnelDrops: [tunnelDrop, leaving] }), [
    'tunnel fail tunnel-dropped',
    'tunnel fail tunnel-dropped',
  ]);
  assert.deepEqual(aboutTunnel({}, { warnings: [{ kind: 'underlay-missing', address: tunnel.address }] }), [
    'tunnel fail underlay-missing',
    'peers skipped underlay-missing',
  ]);
  const steps: Step[] = [{ kind: 'set peers', link: 'k8s-br0-vx', missing: tunnel.peers, surplus: [] }];
  assert.deepEqual(aboutTunnel({}, { steps, tunnelDrops: [tunnelDrop] }), ['tunnel fail plan-step']);
  assert.deepEqual(aboutTunnel({}, { network: network() }), []);
});

doctor('with BGP there are findings about bgpd and each session', () => {
  const evpn = { network: { ...network(), tunnel: { ...tunnel, evpn: { as: 65_000, hosts: null } } } };
  const session = { neighbour: ip('10.0.0.2'), since: null, routes: 0, error: null };
  const established = { ...session, state: 'established', answer: 'established' } as const;
  const refused = { ...session, state: 'active', answer: 'refused' } as const;
  assert.deepEqual(aboutTunnel({ sessions: [established, refused] }, evpn), [
    'tunnel ok tunnel-in-force',
    'bgp ok bgp-established',
    'bgp fail bgp-refused',
  ]);
  const change = {
    kind: 'configure bgp',
    as: 65_000,
    isNew: true,
    removes: null,
    surplus: [],
    missing: [],
  } as const;
  const problem = { kind: 'not-running', program: 'bgpd' } as const;
  const withStep = (step: Step) => aboutTunnel({ sessions: [refused] }, { ...evpn, steps: [step] })[1];
  assert.equal(withStep({ ...change, problem }), 'bgp fail bgp-not-configured');
  assert.equal(withStep({ ...change, problem: null }), 'bgp fail plan-step');
});

const bridgeDrop = {
  family: 'bridge',
  table: 'corp',
  chain: 'f',
  rule: 'drop',
  links: { in: 'vnet0', out: null },
};
const detour = {
  bridge: 'br0',
  subnet: network().subnet,
  part: null,
  service: null,
  link: 'ts0',
  by: { kind: 'rule', table: '52', priority: 5270, only: null },
} as const;

const localDetour = {
  ...detour,
  link: 'lo',
  by: { kind: 'local-route', type: 'local', destination: '192.168.100.0/24', link: 'lo' },
} as const;

const outsideRefusal = { bridge: 'br0', part: null, table: null, priority: 90, only: null };

const partRefusal = { ...outsideRefusal, part: prefixOf(ip('192.168.100.155'), 32) };

function surveyed(survey: Partial<NetworkFacts['survey']>): Partial<NetworkFacts> {
  return {
    survey: { ...networkFacts.survey, ...survey },
  };
}

function link(change: LinkChange, name = 'k8s-br0'): Step {
  return { kind: 'set link', link: name, ...change };
}

function conflict(subnet: string) {
  return {
    network: network(),
    other: { subnet: prefixOf(ip(subnet), 24), link: null, by: 'route' as const },
    made: null,
  };
}

const unread = { subject: 'firewalld', error: new Error('no answer') } as const;

const networks: [Partial<NetworkFacts>, CheckId, State, DetailKind, fields: object][] = [
  [
    {
      ...surveyed({ warnings: [{ kind: 'outside-refused', refusal: outsideRefusal }] }),
      uplink: { kind: 'unreachable', reason: 'Permission denied' },
      ownUplink: { kind: 'via', dev: 'eth0', gateway: null },
    },
    'uplink',
    'fail',
    'outside-refused',
    { ...outsideRefusal },
  ],
  [
    {
      ...surveyed({ warnings: [{ kind: 'outside-refused', refusal: partRefusal }] }),
      uplink: { kind: 'via', dev: 'eth0', gateway: null },
    },
    'uplink',
    'fail',
    'outside-refused',
    { ...partRefusal },
  ],
  [
    {
      uplink: { kind: 'unreachable', reason: 'Invalid cross-device link' },
      ownUplink: { kind: 'via', dev: 'eth0', gateway: null },
    },
    'uplink',
    'fail',
    'outside-lost',
    { reason: 'Invalid cross-device link' },
  ],
  [
    { uplink: { kind: 'unreachable', reason: 'No route to host' } },
    'uplink',
    'warn',
    'uplink-missing',
    { reason: 'No route to host' },
  ],
  [surveyed({ damage: new Error('line 7') }), 'ledger', 'fail', 'ledger-damaged', { message: 'line 7' }],
  [
    surveyed({
      warnings: [
        { kind: 'unread', unread },
        { kind: 'conflict', conflict: conflict('10.0.0.0') },
        { kind: 'conflict', conflict: conflict('10.0.1.0') },
      ],
    }),
    'subnet',
    'fail',
    'subnet-conflict',
    conflict('10.0.0.0'),
  ],
  [
    { forwarding: new Map([['net.ipv4.conf.eth0.forwarding', '0']]) },
    'forwarding',
    'fail',
    'link-forwarding-off',
    { key: 'net.ipv4.conf.eth0.forwarding' },
  ],
  [
    surveyed({ warnings: [{ kind: 'detour', detour }] }),
    'forwarding',
    'fail',
    'answers-elsewhere',
    { ...detour },
  ],
  [{ bridgeDrop }, 'foreign', 'warn', 'frames-may-be-dropped', { drop: bridgeDrop }],
  [
    { closedPath },
    'dnsmasq',
    'fail',
    'dnsmasq-cannot-read',
    { path: '/data', isDirectory: true, mode: 0o700 },
  ],
  [{ unknownOwnMac: mac(1) }, 'bridge', 'fail', 'own-mac-unknown', { bridge: 'k8s-br0', mac: mac(1) }],
  [
    { misleading: { bridge: 'k8s-br0', ip: ip('192.168.100.7'), mac: mac(9), owner: mac(1) } },
    'neighbours',
    'fail',
    'neighbour-static',
    { bridge: 'k8s-br0', ip: ip('192.168.100.7'), mac: mac(9), owner: mac(1) },
  ],
  [
    { sharedMacs: [{ mac: mac(1), machines: ['a', 'b\n'] }] },
    'macs',
    'fail',
    'mac-shared',
    { mac: mac(1), machines: ['a', 'b\n'] },
  ],
  [{ unreadFirewalls: [unread] }, 'foreign', 'warn', 'other-firewall-unreadable', unread],
];

doctor('a correct network has no problem, with or without facts about its uplink and ports', () => {
  assert.equal(problemOf(judgeNetwork(networkFacts, host)), null);
  assert.equal(
    problemOf(judgeNetwork({ ...networkFacts, uplink: null }, { ...host, portOwners: null })),
    null,
  );
  // A drop policy of another program is not a failure: the probe tests whether packets pass.
  const chains = [{ family: 'ip', table: 'filter', name: 'FORWARD' }];
  const beside = judgeNetwork({ ...networkFacts, droppingChains: chains }, host);
  assert.equal(problemOf(beside), null);
  const foreign = beside.find(({ check }) => check === 'foreign');
  assert.deepEqual(foreign?.detail, { kind: 'other-policies', chains });
});

for (const [facts, check, state, kind, fields] of networks) {
  doctor(`a network with a problem: ${kind}`, () => {
    const findings = judgeNetwork({ ...networkFacts, ...facts }, host);
    assert.deepEqual(summary(findings), [check, state, kind]);
    assert.deepEqual(fieldsOf(problemOf(findings)), fields);
  });
}

doctor('dnsmasq reads what a mode seems to keep from it if the probe gets its reserved address', () => {
  const leased: Finding = {
    check: 'probe-lease',
    state: 'ok',
    detail: { kind: 'probe-leased', ip: '10.0.0.9' },
  };
  assert.equal(problemOf(judgeNetwork({ ...networkFacts, closedPath, probe: [leased] }, host)), null);
});

doctor(
  "packets of machines that seem to be this host's own are refused for the same route of table local",
  () => {
    const facts = {
      ...networkFacts,
      ...surveyed({
        warnings: [
          { kind: 'detour', detour },
          { kind: 'detour', detour: localDetour },
        ],
      }),
      uplink: { kind: 'unreachable', reason: 'Invalid argument' },
      ownUplink: { kind: 'via', dev: 'eth0', gateway: null },
    } as const;
    const uplink = judgeNetwork(facts, host).find(({ check }) => check === 'uplink');
    assert.deepEqual(
      [uplink?.state, uplink?.detail],
      ['fail', { kind: 'answers-elsewhere', ...localDetour }],
    );
  },
);

const bridge = 'k8s-br0';

function rules(...drift: RuleDrift[]): Step {
  return {
    kind: 'load rules',
    role: 'primary',
    backend: 'nftables',
    family: 'ipv4',
    bridge,
    script: '',
    drift,
  };
}

const ruleMissing = { kind: 'missing', rule: 'one' } as const;
const otherMtu = link({ attribute: 'mtu', from: 1300, to: 1500 });
const linkDown = link({ attribute: 'state', from: 'down', to: 'up' });
const sysctl: Step = { kind: 'set sysctl', key: 'a.b', from: '0', to: '1' };
const noDnsmasq: Step = { kind: 'start dnsmasq', bridge };
const subjects: [CheckId, Step][] = [
  ['rules', rules(ruleMissing)],
  ['rules', { kind: 'remove rules', backend: 'iptables', family: 'ipv4', bridge }],
  ['bridge', otherMtu],
  ['bridge', linkDown],
  ['stp', link({ attribute: 'stp', from: false, to: true })],
  ['stp', link({ attribute: 'forward delay', from: 200, to: 1500 })],
  ['taps', link({ attribute: 'bridge', from: null, to: bridge }, 'vnet7')],
  ['settings', link({ attribute: 'state', from: 'down', to: 'up' }, 'k8s-br0-nic')],
  ['settings', sysctl],
  [
    'reservations',
    {
      kind: 'write reservations',
      network: { ...network(), name: bridge, bridge },
      bridge,
      missing: [],
      stale: ['x'],
    },
  ],
  [
    'dnsmasq',
    { kind: 'stop dnsmasq', bridge, pid: 1, isStopped: false, isUnbound: false, hasOtherLeases: false },
  ],
  ['dnsmasq', noDnsmasq],
  ['foreign', { kind: 'allow in', firewall: 'docker', bridge, rules: [] }],
];

for (const [subject, step] of subjects) {
  doctor(`a pending step is a failure of its subject: ${step.kind}, ${subject}`, () => {
    const findings = judgeNetwork({ ...networkFacts, ...surveyed({ steps: [step] }) }, host);
    assert.deepEqual(summary(findings), [subject, 'fail', 'plan-step']);
    assert.deepEqual(fieldsOf(problemOf(findings)), { subject, bridge, step, others: 0 });
  });
}

doctor('of several steps about one subject the first is reported, with the number of the others', () => {
  const steps = [noDnsmasq, otherMtu, linkDown];
  const findings = judgeNetwork({ ...networkFacts, ...surveyed({ steps }) }, host);
  const details = findings.filter(({ state }) => state === 'fail').map(({ detail }) => detail);
  assert.deepEqual(details, [
    { kind: 'plan-step', subject: 'bridge', bridge, step: otherMtu, others: 1 },
    { kind: 'plan-step', subject: 'dnsmasq', bridge, step: noDnsmasq, others: 0 },
  ]);
});

doctor(
  'a missing bridge is a pending step while its rules exist, and otherwise a network that is not established',
  () => {
    const steps: Step[] = [linkDown];
    const bridgeDetail = (...more: Step[]) =>
      judgeNetwork({ ...networkFacts, ...surveyed({ steps: [...steps, ...more] }) }, host).find(
        ({ check }) => check === 'bridge',
      )?.detail.kind;
    assert.equal(bridgeDetail(), 'plan-step');
    assert.equal(bridgeDetail(rules(ruleMissing)), 'plan-step');
    assert.equal(bridgeDetail(rules()), 'not-established');
  },
);

doctor('forwarding is reported as off now, or off after the next boot', () => {
  const detailOf = (...steps: Step[]) =>
    problemOf(judgeNetwork(networkFacts, { ...host, survey: { ...host.survey, steps } }))?.detail;
  const file: Step = { kind: 'write file', path: '/etc/x', from: null, to: '' };
  assert.deepEqual(detailOf(sysctl, file), { kind: 'forwarding-off', key: 'a.b', value: '0' });
  assert.deepEqual(detailOf(file), { kind: 'forwarding-off-after-boot', path: '/etc/x' });
});

doctor('another program on a port is a warning while dnsmasq runs, and otherwise a failure', () => {
  const portOwners = parsePortOwners('udp UNCONN 0 0 0.0.0.0:67 0.0.0.0:* users:(("dhcpd",pid=7,fd=1))');
  const [owner] = portOwners;
  const beside = problemOf(judgeNetwork(networkFacts, { ...host, portOwners }));
  assert.deepEqual(beside, { check: 'dhcp-port', state: 'warn', detail: { kind: 'port-shared', owner } });
  const stopped = surveyed({
    observed: {
      link: null,
      dnsmasq: { conf: null, pid: null, isStopped: false, isUnbound: false, hasOtherLeases: false },
      otherPorts: [],
      tunnel: null,
    },
  });
  assert.deepEqual(problemOf(judgeNetwork({ ...networkFacts, ...stopped }, { ...host, portOwners })), {
    check: 'dhcp-port',
    state: 'fail',
    detail: { kind: 'port-taken', service: 'DHCP', bridge, owner },
  });
});

const lease = { mac: mac(1), ip: ip('192.168.100.7'), hostname: 'web', clientId: null, expires: 0 };
const port = { master: 'k8s-br0', up: true, state: 3, framesSent: 9 };
const nameOnHost = {
  name: 'web.lan.internal',
  by: 'resolved',
  found: ['192.168.100.7'],
  hasNssModule: false,
} as const;
const nic: NicFacts = {
  network: 'k8s-br0',
  bridge: 'k8s-br0',
  mac: mac(1),
  tap: 'vnet0',
  isKeptDown: false,
  port,
  behind: null,
  passage: {
    port: { bridge: 'k8s-br0', tap: 'vnet0', mac: mac(1), ip: ip('192.168.100.7') },
    drops: {},
    takings: {},
  },
  entry: entry(),
  reserved: ip('192.168.100.7'),
  lease,
  log: null,
  neighbour: { mac: mac(1) },
  misleading: null,
  dropped: [],
  hostName: nameOnHost,
};
const silent = { lease: null, neighbour: null };
const [tap, own, other] = ['vnet0', ip('192.168.100.7'), ip('192.168.100.8')];
const noAddress = 'DHCPDISCOVER(k8s-br0) 52:54:00:00:00:01 no address available';

const nics: [Partial<NicFacts>, CheckId, Detail][] = [
  [{ port: null }, 'tap', { kind: 'tap-gone', tap, machine: 'web' }],
  [{ port: { ...port, master: null } }, 'tap', { kind: 'tap-unplugged', tap }],
  [
    { port: { ...port, master: 'virbr0' } },
    'tap',
    { kind: 'tap-in-other-bridge', tap, bridge, found: 'virbr0' },
  ],
  [{ port: { ...port, up: false } }, 'tap', { kind: 'tap-down', tap }],
  [{ port: { ...port, up: false }, isKeptDown: true }, 'tap', { kind: 'tap-kept-down', tap, machine: 'web' }],
  [{ port: { ...port, state: 1 } }, 'port', { kind: 'port-waits-for-stp', tap }],
  [{ port: { ...port, state: 2 } }, 'port', { kind: 'port-waits-for-stp', tap }],
  [{ port: { ...port, state: 4 } }, 'port', { kind: 'port-blocked', tap }],
  [{ port: { ...port, state: 0 } }, 'port', { kind: 'port-disabled', tap }],
  [{ behind: 'vnet1' }, 'port', { kind: 'mac-behind-other-port', tap, mac: mac(1), behind: 'vnet1' }],
  [
    { ...silent, port: { ...port, framesSent: 0 } },
    'discover',
    { kind: 'nothing-sent', machine: 'web', tap },
  ],
  [{ ...silent, log: null }, 'discover', { kind: 'no-lease-given', mac: mac(1), tap }],
  [{ ...silent, log: [] }, 'discover', { kind: 'request-missing', mac: mac(1), tap }],
  [{ ...silent, log: [noAddress] }, 'ack', { kind: 'lease-refused', logged: noAddress }],
  [
    {
      entry: entry({
        problem: { kind: 'mac-taken', mac: mac(1), holder: { kind: 'machine', machine: 'db' } },
      }),
    },
    'reservation',
    {
      kind: 'reservation-problem',
      problem: { kind: 'mac-taken', mac: mac(1), holder: { kind: 'machine', machine: 'db' } },
    },
  ],
  [{ entry: null }, 'reservation', { kind: 'not-reserved', machine: 'web', mac: mac(1), network: 'k8s-br0' }],
  [
    { entry: entry({ ip: null }) },
    'reservation',
    { kind: 'not-reserved', machine: 'web', mac: mac(1), network: 'k8s-br0' },
  ],
  [{ reserved: null }, 'reservation', { kind: 'not-in-hostsfile', mac: mac(1), ip: own }],
  [
    { reserved: other, hostName: { ...nameOnHost, found: ['192.168.100.8'] } },
    'ack',
    { kind: 'leased-before-reserved', machine: 'web', mac: mac(1), leased: own, reserved: other },
  ],
  [{ neighbour: { mac: null } }, 'arp', { kind: 'leased-but-silent', machine: 'web', ip: own }],
  [
    {
      neighbour: { mac: mac(9) },
      misleading: { bridge: 'k8s-br0', ip: own, mac: mac(9), owner: mac(1) },
    },
    'arp',
    { kind: 'neighbour-static', bridge: 'k8s-br0', ip: own, mac: mac(9), owner: mac(1) },
  ],
  [
    { neighbour: { mac: mac(9) } },
    'arp',
    { kind: 'address-duplicate', ip: own, mac: mac(1), answeredBy: mac(9) },
  ],
];

const correctNics: Partial<NicFacts>[] = [
  {},
  { tap: null, port: null, lease: null, neighbour: null },
  { ...silent, log: ['DHCPREQUEST(k8s-br0) 192.168.100.9 52:54:00:00:00:01'] },
];

for (const facts of correctNics) {
  doctor(`a NIC without a problem: ${JSON.stringify(facts)}`, () => {
    assert.equal(problemOf(judgeNic('web', { ...nic, ...facts })), null);
  });
}

for (const [facts, check, detail] of nics) {
  doctor(`a NIC with a problem: ${detail.kind} ${JSON.stringify(facts)}`, () => {
    const findings = judgeNic('web', { ...nic, ...facts });
    assert.deepEqual(
      findings.map(each => each.check),
      ['tap', 'port', 'packets', 'discover', 'reservation', 'ack', 'arp', 'guard', 'name'],
    );
    assert.deepEqual(problemOf(findings), { check, state: 'fail', detail });
  });
}

const machine: MachineFacts = {
  name: 'web',
  state: 'running',
  nearest: null,
  elsewhere: [],
  nics: [nic],
  forwards: noForwards,
};

doctor('a machine that has its reserved address without DHCP is well', () => {
  for (const log of [null, [], ['DHCPDISCOVER(k8s-br0)']]) {
    const findings = judgeNic('web', { ...nic, lease: null, neighbour: { mac: mac(1) }, log });
    assert.equal(problemOf(findings), null);
    assert(findings.some(({ detail }) => detail.kind === 'address-static'));
  }
});

doctor('a machine that is unknown, shut off, or without a NIC on the network is reported', () => {
  const detailOf = (facts: Partial<MachineFacts>) =>
    problemOf(judgeMachine({ ...machine, ...facts }))?.detail ?? null;
  assert.equal(detailOf({}), null);
  assert.deepEqual(detailOf({ state: 'shut off' }), { kind: 'machine-shut-off', machine: 'web' });
  const unknown = { state: 'unknown', nearest: 'wen', nics: [] } as const;
  assert.deepEqual(detailOf(unknown), { kind: 'machine-unknown', machine: 'web', nearest: 'wen' });
  assert.deepEqual(detailOf({ nics: [] }), { kind: 'no-nic', machine: 'web' });
  const places = [{ kind: 'network', name: 'default' } as const];
  assert.deepEqual(detailOf({ nics: [], elsewhere: places }), {
    kind: 'nics-elsewhere',
    machine: 'web',
    places,
  });
});

doctor('a forward that is not active, or that leads to nobody, is reported', () => {
  const of = (forwards: Partial<MachineFacts['forwards']>) =>
    judgeMachine({ ...machine, forwards: { ...noForwards, ...forwards } }).find(
      ({ check }) => check === 'forwards',
    );
  const forward = { first: 8443, last: 8443, to: 443, protocol: 'tcp', address: null, from: null } as const;
  const chain = { family: 'ip', table: 'filter', name: 'FORWARD', hook: 'forward', policy: 'drop' };
  const active = (answer: 'accepted' | 'refused' | 'none' | 'unknown', protocol: 'tcp' | 'udp' = 'tcp') => [
    { forward: { ...forward, protocol }, ip: ip('192.168.100.7'), answer },
  ];
  const cases: [Partial<MachineFacts['forwards']>, state: string, kind: string][] = [
    [{}, 'ok', 'no-forwards'],
    [{ active: active('accepted') }, 'ok', 'forwards-active'],
    [{ active: active('refused') }, 'warn', 'forward-unanswered'],
    [{ active: active('none') }, 'warn', 'forward-unanswered'],
    [{ active: active('unknown', 'udp'), hasConntrack: false }, 'warn', 'forwards-need-conntrack'],
    [{ active: active('unknown', 'udp') }, 'ok', 'forwards-active'],
    [{ active: active('accepted'), isStrict: true }, 'fail', 'forwards-kept-out'],
    [{ refused: [{ kind: 'no-address', forward }] }, 'fail', 'forward-inactive'],
    [
      { active: active('accepted'), chainsInTheWay: [{ bridge: 'k8s-br0', chain }] },
      'warn',
      'forwards-meet-chain',
    ],
    [
      {
        active: active('accepted'),
        drops: [
          {
            forward,
            ip: ip('192.168.100.7'),
            bridge: 'k8s-br0',
            way: 'forwarded',
            base: chain,
            chain: 'f',
            rule: null,
          },
        ],
        chainsInTheWay: [{ bridge: 'k8s-br0', chain }],
      },
      'fail',
      'forward-dropped',
    ],
    [
      { active: active('accepted'), strictLinks: ['eth1'], reversePathDrops: 3 },
      'warn',
      'forwards-meet-reverse-path',
    ],
    [{ active: active('accepted'), strictLinks: ['eth1'] }, 'ok', 'forwards-active'],
    [
      {
        active: active('accepted'),
        takings: [
          {
            forward,
            ip: ip('192.168.100.7'),
            bridge: 'k8s-br0',
            base: { ...chain, table: 'nat', name: 'PREROUTING', hook: 'prerouting' },
            chain: 'DOCKER',
            rule: null,
            effect: 'translate',
          },
        ],
      },
      'warn',
      'forward-taken',
    ],
    [
      { active: active('accepted'), unreachable: [{ forward, address: ip('192.0.2.5') }] },
      'warn',
      'forward-address-absent',
    ],
  ];
  for (const [facts, state, kind] of cases) {
    const finding = of(facts);
    assert.deepEqual([finding?.state, finding?.detail.kind], [state, kind]);
  }
  const silent = { ...nic, lease: null, neighbour: { mac: null } };
  const lost = judgeMachine({
    ...machine,
    nics: [silent],
    forwards: { ...noForwards, active: active('none') },
  });
  assert.equal(lost.find(({ check }) => check === 'forwards')?.detail.kind, 'forward-without-lease');
  const off = judgeMachine({ ...machine, state: 'shut off' });
  assert(!off.some(({ check }) => check === 'forwards'));
});

doctor('the name of a machine is found on the host, or the reason says why not', () => {
  const of = (hostName: NicFacts['hostName']) => judgeName({ ...nic, hostName });
  const asked = {
    name: 'web.lan.internal',
    by: 'resolved',
    found: ['192.168.100.7'],
    hasNssModule: false,
  } as const;
  assert.deepEqual([of(asked).state, of(asked).detail.kind], ['ok', 'name-found']);
  const other = of({ ...asked, found: ['10.9.9.9'] });
  assert.deepEqual([other.state, other.detail.kind], ['warn', 'name-elsewhere']);
  for (const by of ['resolved', 'network-manager', 'nss', 'resolved-not-asked', 'not-found'] as const) {
    const none = of({ ...asked, by, found: [] });
    assert.deepEqual([none.state, none.detail.kind], ['warn', 'name-unknown']);
    assert(fixFor(none.detail) !== null);
  }
  assert.equal(of({ ...asked, by: 'off', found: [] }).state, 'ok');
  assert.equal(of(null).state, 'skipped');
});

doctor('a hostile name is a single word of a command, and never an option', () => {
  for (const name of hostileNames) {
    const word = shellQuoted(name);
    assert.match(word, /^([\w.-]+|'[^']*('\\''[^']*)*')$/s);
    const detail = problemOf(judgeMachine({ ...machine, name, state: 'shut off' }))?.detail;
    assert(detail !== undefined);
    assert.equal(fixFor(detail)?.command, `virsh start -- ${word}`);
  }
});

doctor.run();
