import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { dnsmasqVersion, openHoles } from '../../src/diagnosis/doctor/dnsmasq-cves.ts';
import type { HostFacts, MachineFacts, NetworkFacts, NicFacts } from '../../src/diagnosis/doctor/facts.ts';
import { judgeHost } from '../../src/diagnosis/doctor/judge-host.ts';
import { judgeMachine, judgeNic } from '../../src/diagnosis/doctor/judge-machine.ts';
import { judgeNetwork } from '../../src/diagnosis/doctor/judge-network.ts';
import { parseListeners, takersOf } from '../../src/diagnosis/doctor/ports.ts';
import type { Finding } from '../../src/diagnosis/finding.ts';
import type { LinkChange, RuleDrift } from '../../src/network/state.ts';
import type { Step } from '../../src/network/steps.ts';
import { shellQuoted } from '../../src/text.ts';
import { entry, hostileNames, ip, mac, network } from './builders.ts';

const doctor = suite('doctor');

const listening = `udp   UNCONN 0      0          127.0.0.53%lo:53         0.0.0.0:*    users:(("systemd-resolve",pid=400,fd=13))
udp UNCONN 0 0 192.168.100.1:53 0.0.0.0:* users:(("dnsmasq",pid=86,fd=6))
udp UNCONN 0 0 0.0.0.0%k8s-br0:67 0.0.0.0:* users:(("dnsmasq",pid=86,fd=4))
udp UNCONN 0 0 0.0.0.0%virbr0:67 0.0.0.0:* users:(("dnsmasq",pid=99,fd=3))
tcp LISTEN 0 32 *:53 *:* users:(("na me",pid=7,fd=1),("b",pid=8,fd=1))
tcp LISTEN 0 32 [::]:53 [::]:*
tcp LISTEN 0 32 10.0.0.1:53 0.0.0.0:*
garbage`;

doctor('who has a port is read from ss, and who takes what is sent to the bridge', () => {
  const listeners = parseListeners(listening);
  assert.equal(listeners.length, 7);
  assert.deepEqual(listeners[4], { protocol: 'tcp', address: '*', port: 53, program: 'na me', pid: 7 });
  const takers = (port: number) =>
    takersOf(listeners, port, '192.168.100.1', 'k8s-br0').map(({ address, pid }) => `${address} ${pid}`);
  assert.deepEqual(takers(53), ['192.168.100.1 86', '* 7', '[::] null']);
  assert.deepEqual(takers(67), ['0.0.0.0%k8s-br0 86']);
});

doctor("dnsmasq's holes are those of its version, less what its package says is mended", () => {
  assert.equal(dnsmasqVersion('Dnsmasq version 2.92rel2  Copyright (c) 2000-2026'), '2.92rel2');
  assert.equal(dnsmasqVersion('dnsmasq: not found'), null);
  assert.deepEqual(openHoles('2.92rel2', ''), []);
  assert.deepEqual(openHoles('2.93', ''), []);
  assert.deepEqual(openHoles('3.0', ''), []);
  assert.equal(openHoles('2.92', '').length, 6);
  assert.equal(openHoles('2.90', '').length, 6);
  assert.equal(openHoles('2.89', '').length, 8);
  assert.equal(openHoles('2.9', '').length, openHoles('2.10', '').length);
  const mended = 'CVE-2026-2291 CVE-2026-4890 CVE-2026-4891 CVE-2026-4893 CVE-2026-5172';
  assert.deepEqual(openHoles('2.90', mended), ['CVE-2026-4892']);
});

const host: HostFacts = {
  survey: { observed: { sysctls: new Map(), sysctlFile: null }, steps: [] },
  nftTrouble: null,
  tracked: { count: 10, most: 65_536 },
  listeners: [],
  dnsmasq: { version: '2.93', changelog: null },
  hooks: { daemon: 'ours', qemu: 'ours', network: 'ours' },
};

/** The one finding of these that is neither well nor skipped; null for none. */
function trouble(findings: readonly Finding[]): Finding | null {
  const found = findings.filter(({ state }) => state === 'fail' || state === 'warn');
  assert(found.length <= 1, JSON.stringify(found));
  return found[0] ?? null;
}

const hosts: [Partial<HostFacts>, Finding['check'], state: string, RegExp, command?: RegExp][] = [
  [
    { tracked: { count: 65_536, most: 65_536 } },
    'kernel',
    'fail',
    /as many connections as it can, 65536/,
    /nf_conntrack_max=131072$/,
  ],
  [{ nftTrouble: 'nft: no' }, 'kernel', 'fail', /nft: no/, /^modprobe nf_tables && nft list tables$/],
  [{ hooks: { daemon: 'ours', qemu: 'missing' } }, 'hooks', 'fail', /hook qemu is missing/],
  [{ hooks: { daemon: 'not executable' } }, 'hooks', 'fail', /hook daemon is not executable/, /^chmod 755/],
  [
    { dnsmasq: { version: '2.91', changelog: null } },
    'dnsmasq-version',
    'warn',
    /of CVE-2026-2291, CVE-2026-4890 and 4 more; .* cannot be seen here/,
  ],
  [
    { dnsmasq: { version: '2.91', changelog: 'nothing' } },
    'dnsmasq-version',
    'warn',
    /changelog does not speak/,
  ],
];

doctor('a good host, one without libvirt, and one that cannot be asked have no trouble', () => {
  assert.equal(trouble(judgeHost(host)), null);
  assert.equal(trouble(judgeHost({ ...host, hooks: null, dnsmasq: null, tracked: null })), null);
});

for (const [facts, check, state, seen, command] of hosts) {
  doctor(`a host with trouble: ${seen.source}`, () => {
    const found = trouble(judgeHost({ ...host, ...facts }));
    assert.deepEqual([found?.check, found?.state], [check, state]);
    assert.match(found?.seen ?? '', seen);
    if (command !== undefined) assert.match(found?.fix?.command ?? '', command);
  });
}

const networkFacts: NetworkFacts = {
  survey: {
    network: network(),
    observed: { link: null, dnsmasq: { conf: null, pid: 86 } },
    steps: [],
    warnings: [],
    damage: null,
  },
  droppers: [],
  unread: [],
  forwarding: new Map([['net.ipv4.conf.k8s-br0.forwarding', '1']]),
  uplink: { kind: 'via', dev: 'eth0', gateway: null },
  duplicates: [],
  probe: [],
};

const step = (one: Step): Partial<NetworkFacts> => ({ survey: { ...networkFacts.survey, steps: [one] } });
const rules = (drift: RuleDrift[]) =>
  step({ kind: 'load rules', backend: 'nftables', family: 'ipv4', bridge: 'k8s-br0', script: '', drift });
const link = (change: LinkChange, name = 'k8s-br0') => step({ kind: 'set link', link: name, ...change });
const lines = (missing: string[], stale: string[]) =>
  step({
    kind: 'write reservations',
    network: { name: 'k8s-br0', fixedReservations: [] },
    bridge: 'k8s-br0',
    missing,
    stale,
  });

const networks: [Partial<NetworkFacts>, Finding['check'], state: string, RegExp][] = [
  [
    { uplink: { kind: 'unreachable', reason: 'No route to host' } },
    'uplink',
    'warn',
    /no way to the outside: No route to host/,
  ],
  [{ survey: { ...networkFacts.survey, damage: new Error('line 7') } }, 'ledger', 'fail', /line 7/],
  [
    { forwarding: new Map([['net.ipv4.conf.eth0.forwarding', '0']]) },
    'forwarding',
    'fail',
    /eth0\.forwarding is 0/,
  ],
  [{ duplicates: [{ mac: mac(1), names: ['a', 'b\n'] }] }, 'macs', 'fail', /^"a" and "b\\n" have one MAC/],
  [
    rules([{ kind: 'missing', rule: 'one' }]),
    'rules',
    'fail',
    /were changed: missing: one: packets of machines/,
  ],
  [rules([{ kind: 'added', rule: 'two' }]), 'rules', 'fail', /were changed: added: two/],
  [rules([]), 'rules', 'fail', /are missing/],
  [
    link({ attribute: 'mtu', from: 1300, to: 1500 }),
    'bridge',
    'fail',
    /^mtu of k8s-br0 is 1300, not 1500: machines have no network/,
  ],
  [link({ attribute: 'stp', from: false, to: true }), 'stp', 'fail', /^stp of k8s-br0 is off, not on/],
  [
    link({ attribute: 'bridge', from: null, to: 'k8s-br0' }, 'vnet7'),
    'taps',
    'fail',
    /^vnet7 is not in k8s-br0/,
  ],
  [
    link({ attribute: 'state', from: 'down', to: 'up' }, 'k8s-br0-nic'),
    'settings',
    'fail',
    /^k8s-br0-nic is down/,
  ],
  [
    step({ kind: 'set sysctl', key: 'a.b', from: '0', to: '1' }),
    'settings',
    'fail',
    /^a\.b is 0, not 1: the network/,
  ],
  [lines([], ['x # virlan']), 'reservations', 'fail', /a surplus line: x: /],
  [
    step({
      kind: 'allow in',
      firewall: 'docker',
      bridge: 'k8s-br0',
      rules: [{ kind: 'iptables-rule', rule: '-i k8s-br0' }],
    }),
    'foreign',
    'fail',
    /^docker has not been told to let k8s-br0 through: another firewall does not let machines through$/,
  ],
  [{ unread: ['firewalld does not answer'] }, 'foreign', 'warn', /^firewalld does not answer$/],
  [step({ kind: 'stop dnsmasq', bridge: 'k8s-br0', pid: 1 }), 'dnsmasq', 'fail', /with the configuration/],
];

doctor('a good network has no trouble, nor has one whose forwarding is known to be off', () => {
  assert.equal(trouble(judgeNetwork(networkFacts, host)), null);
  assert.equal(trouble(judgeNetwork({ ...networkFacts, uplink: null }, { ...host, listeners: null })), null);
  // Another's policy that drops is told of, and is no failure: the probe says whether machines get through.
  const beside = judgeNetwork({ ...networkFacts, droppers: ['ip filter FORWARD'] }, host);
  assert.equal(trouble(beside), null);
  assert(beside.some(({ check, seen }) => check === 'foreign' && seen.includes('ip filter FORWARD')));
});

for (const [facts, check, state, seen] of networks) {
  doctor(`a network with trouble: ${seen.source}`, () => {
    const found = trouble(judgeNetwork({ ...networkFacts, ...facts }, host));
    assert.deepEqual([found?.check, found?.state], [check, state]);
    assert.match(found?.seen ?? '', seen);
  });
}

doctor('somebody else on a port is a warning while dnsmasq runs, and a failure when it does not', () => {
  const listeners = parseListeners('udp UNCONN 0 0 0.0.0.0:67 0.0.0.0:* users:(("dhcpd",pid=7,fd=1))');
  const beside = trouble(judgeNetwork(networkFacts, { ...host, listeners }));
  assert.deepEqual([beside?.check, beside?.state], ['dhcp-port', 'warn']);
  assert.match(beside?.seen ?? '', /^dhcpd \(process 7\) has port 67 of 0\.0\.0\.0 too/);
  const { survey } = networkFacts;
  const alone = { ...survey, observed: { link: null, dnsmasq: { conf: null, pid: null } } };
  assert.equal(
    trouble(judgeNetwork({ ...networkFacts, survey: alone }, { ...host, listeners }))?.state,
    'fail',
  );
});

const lease = { mac: mac(1), ip: ip('192.168.100.7'), hostname: 'web', clientId: null, expires: 0 };
const nic: NicFacts = {
  network: 'k8s-br0',
  bridge: 'k8s-br0',
  mac: mac(1),
  tap: 'vnet0',
  port: { master: 'k8s-br0', up: true, state: 3, sent: 9 },
  entry: entry(),
  promised: ip('192.168.100.7'),
  lease,
  log: null,
  neighbour: { mac: mac(1) },
};
const port = { master: 'k8s-br0', up: true, state: 3, sent: 9 };
const silent = { lease: null, neighbour: null };

const nics: [Partial<NicFacts>, Finding['check'] | null, RegExp?, command?: RegExp | null][] = [
  [{}, null],
  [{ tap: null, port: null, lease: null, neighbour: null }, null],
  [{ port: null }, 'tap', /vnet0 is gone/, /^virsh destroy -- web; virsh start -- web$/],
  [{ port: { ...port, master: null } }, 'tap', /in no bridge/, /^virlan up$/],
  [{ port: { ...port, master: 'virbr0' } }, 'tap', /in virbr0, not in k8s-br0/, /master k8s-br0$/],
  [{ port: { ...port, up: false } }, 'tap', /is down/, /up$/],
  [{ port: { ...port, state: 1 } }, 'port', /STP does not let vnet0 forward yet/],
  [{ port: { ...port, state: 4 } }, 'port', /blocked/, /state 3$/],
  [{ port: { ...port, state: 0 } }, 'port', /disabled/, /state 3$/],
  [{ ...silent, port: { ...port, sent: 0 } }, 'discover', /not sent a single frame/, /^virsh console/],
  [{ ...silent, log: null }, 'discover', /its system may not ask by DHCP/, /^tcpdump -ni vnet0/],
  [{ ...silent, log: [] }, 'discover', /has not heard it ask/, /^tcpdump/],
  [
    { ...silent, log: ['DHCPDISCOVER(k8s-br0) 52:54:00:00:00:01 no address available'] },
    'ack',
    /no address available/,
    null,
  ],
  [{ ...silent, log: ['DHCPREQUEST(k8s-br0) 192.168.100.9 52:54:00:00:00:01'] }, null],
  [{ entry: entry({ problem: 'its MAC is that of db' }) }, 'reservation', /that of db/, null],
  [{ entry: null }, 'reservation', /no address is reserved/, /^virlan doctor --fix -- web$/],
  [{ entry: entry({ ip: null }) }, 'reservation', /no address is reserved/],
  [
    { promised: null },
    'reservation',
    /hostsfile does not have 52:54:00:00:00:01, for which 192\.168\.100\.7/,
    /^virlan up$/,
  ],
  [
    { promised: ip('192.168.100.8') },
    'ack',
    /leased 192\.168\.100\.7 before 192\.168\.100\.8/,
    /^virsh reboot/,
  ],
  [{ neighbour: { mac: null } }, 'arp', /does not answer for 192\.168\.100\.7/, /^virsh console/],
  [
    { neighbour: { mac: mac(9) } },
    'arp',
    /52:54:00:00:00:09 answers for .* two have one address/,
    /^bridge fdb/,
  ],
];

for (const [facts, check, seen, command] of nics) {
  doctor(`a NIC: ${seen?.source ?? JSON.stringify(facts)}`, () => {
    const findings = judgeNic('web', { ...nic, ...facts });
    assert.deepEqual(
      findings.map(each => each.check),
      ['tap', 'port', 'discover', 'reservation', 'ack', 'arp'],
    );
    const found = trouble(findings);
    assert.equal(found?.check ?? null, check);
    assert.match(found?.seen ?? '', seen ?? /^$/);
    if (command === null) assert.equal(found?.fix, null);
    else if (command !== undefined) assert.match(found?.fix?.command ?? '', command);
  });
}

const machine: MachineFacts = { name: 'web', state: 'running', elsewhere: [], nics: [nic] };

doctor('a machine is there, runs, and is on the network, or not', () => {
  assert.equal(trouble(judgeMachine(machine)), null);
  assert.match(trouble(judgeMachine({ ...machine, state: 'shut off' }))?.seen ?? '', /"web" is shut off/);
  assert.match(trouble(judgeMachine({ ...machine, nics: [] }))?.seen ?? '', /no NIC at all/);
  const elsewhere = { ...machine, nics: [], elsewhere: ['network default'] };
  assert.match(trouble(judgeMachine(elsewhere))?.seen ?? '', /on network default/);
  assert.match(trouble(judgeMachine({ ...machine, state: 'unknown' }))?.seen ?? '', /no machine "web"/);
});

doctor('a hostile name is one word of a command, and never its option', () => {
  for (const name of hostileNames) {
    const word = shellQuoted(name);
    assert.match(word, /^([\w.-]+|'[^']*('\\''[^']*)*')$/s);
    const command = trouble(judgeMachine({ ...machine, name, state: 'shut off' }))?.fix?.command;
    assert.equal(command, `virsh start -- ${word}`);
  }
});

doctor.run();
