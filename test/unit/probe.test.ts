// The probe: its counters, the drops it finds, its findings, and when the watcher sends it.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { DetailKind } from '../../src/diagnosis/details.ts';
import type { Finding } from '../../src/diagnosis/finding.ts';
import { parseCounters, renderCounters, renderTracedCounters } from '../../src/diagnosis/probe/counters.ts';
import { findDrop, findDrops } from '../../src/diagnosis/probe/drops.ts';
import { judgeProbe, notSent, type ProbeFacts } from '../../src/diagnosis/probe/judge.ts';
import type { ProbeReport } from '../../src/diagnosis/probe/protocol.ts';
import { probeStatus, resultOf } from '../../src/diagnosis/probe/result.ts';
import { fixFor } from '../../src/diagnosis/words/words.ts';
import { logLine } from '../../src/report/log-line.ts';
import { BackgroundProbes } from '../../src/watcher/background-probes.ts';
import { aDate, ip, mac, network } from './builders.ts';

const probe = suite('probe');

const counting = {
  bridge: 'k8s-br0',
  mac: mac(1),
  ip: ip('192.168.100.254'),
  nextHop: ip('203.0.113.2'),
};

probe('the table that counts has nothing traced but on the second look, and drops nothing', () => {
  const [plain, traced] = [renderCounters(counting), renderTracedCounters(counting)];
  assert(!plain.includes('nftrace'));
  assert.equal(traced.match(/meta nftrace set 1/g)?.length, 3);
  for (const script of [plain, traced]) {
    assert.equal(script.match(/counter comment/g)?.length, 4);
    assert(script.startsWith('table ip virlan_probe\ndelete table ip virlan_probe\n'));
    assert.doesNotMatch(script, /\bdrop\b|reject/);
  }
});

probe('counters are read by their names', () => {
  const rule = (comment: string | undefined, packets: number) => ({
    rule: { comment, expr: [{ match: {} }, { counter: { packets, bytes: 9 } }] },
  });
  const json = JSON.stringify({
    nftables: [
      { metainfo: {} },
      rule('entered', 2),
      rule('masqueraded', 1),
      rule(undefined, 7),
      { rule: {} },
    ],
  });
  assert.deepEqual(parseCounters(json), { entered: 2, plain: 0, masqueraded: 1, returned: 0 });
  for (const text of ['', '{}', '[]', 'null', '{"nftables":[null]}']) assert.equal(parseCounters(text), null);
});

/** As nft 1.0.6 prints them. */
const monitor = `add table ip virlan_probe
trace id c7921ce8 ip virlan_probe earliest packet: iif "k8s-br0" ether saddr 52:54:00:aa:bb:cc ip saddr 192.168.100.254 ip daddr 203.0.113.2 ip ttl 64 icmp type echo-request
trace id c7921ce8 ip virlan_probe earliest unknown rule handle 3 (verdict continue)
trace id c7921ce8 ip virlan_probe earliest policy accept
trace id 7cc4cf6a ip virlan-k8s-br0 forward packet: iif "k8s-br0" oif "uplink" ip saddr 192.168.100.254 ip daddr 203.0.113.2 ip ttl 63
trace id 7cc4cf6a ip virlan-k8s-br0 forward rule iifname "k8s-br0" ip saddr 192.168.100.0/24 accept (verdict accept)
trace id 66b8eb27 inet other in packet: iif "k8s-br0" ip saddr 192.168.100.254 ip daddr 192.168.100.1 udp sport 4711 udp dport 53 udp length 30
trace id 66b8eb27 inet other in unknown rule handle 2 (verdict drop)
trace id 7cc4cf6a ip filter FORWARD packet: iif "k8s-br0" oif "uplink" ip saddr 192.168.100.254 ip daddr 203.0.113.2 ip ttl 63
trace id 7cc4cf6a ip filter FORWARD rule ip daddr 203.0.113.2 counter packets 0 bytes 0 drop (verdict drop)
trace id c676a8b4 ip filter FORWARD packet: iif "uplink" oif "k8s-br0" ip saddr 203.0.113.2 ip daddr 192.168.100.254 ip ttl 63
trace id c676a8b4 ip filter FORWARD policy drop `.split('\n');

probe('of the drops that the kernel tells of, the one that a packet met is found', () => {
  assert.deepEqual(
    findDrop(monitor, packet => packet.includes('ip daddr 203.0.113.2')),
    {
      family: 'ip',
      table: 'filter',
      chain: 'FORWARD',
      rule: 'ip daddr 203.0.113.2 counter packets 0 bytes 0 drop',
    },
  );
  assert.deepEqual(
    findDrop(monitor, packet => packet.includes('ip saddr 203.0.113.2')),
    { family: 'ip', table: 'filter', chain: 'FORWARD', rule: null },
  );
  assert.deepEqual(
    findDrop(monitor, packet => packet.includes('udp dport 53')),
    { family: 'inet', table: 'other', chain: 'in', rule: 'handle 2' },
  );
  assert.equal(
    findDrop(monitor, packet => packet.includes('udp dport 67')),
    null,
  );
  assert.equal(
    findDrop(['trace id', 'trace id 1 2 3', '', 'trace id 1 ip a b policy drop'], () => false),
    null,
  );
});

probe('what dropped each packet of a probe is told apart', () => {
  const request = {
    mac: mac(1),
    prefix: 24,
    gateway: '192.168.100.1',
    name: 'virlan-probe.test',
    nextHop: '203.0.113.2',
    asksUpstream: false,
  };
  const { dhcp, dns, outgoing, returning } = findDrops(monitor, request);
  const rules = [dhcp, dns, outgoing, returning].map(drop => drop?.rule);
  assert.deepEqual(rules, [
    undefined,
    'handle 2',
    'ip daddr 203.0.113.2 counter packets 0 bytes 0 drop',
    null,
  ]);
  assert.equal(returning?.chain, 'FORWARD');
});

const good: ProbeReport = {
  lease: { kind: 'leased', ip: '192.168.100.254' },
  dns: { kind: 'answered', addresses: ['192.168.100.254'] },
  upstream: { kind: 'answered' },
  nextHopAnswers: true,
};

const facts: ProbeFacts = {
  bridge: 'k8s-br0',
  gateway: '192.168.100.1',
  ip: '192.168.100.254',
  dnsmasqTold: true,
  portWaitedMs: 2,
  report: good,
  uplink: { kind: 'via', dev: 'eth0', gateway: '203.0.113.2' },
  counters: { entered: 2, plain: 0, masqueraded: 2, returned: 1 },
  hostAnswered: null,
  drops: {},
};

const stages = [
  'probe-port',
  'probe-lease',
  'probe-dns',
  'probe-forward',
  'probe-masquerade',
  'probe-return',
  'upstream-dns',
];

const none = { entered: 0, plain: 0, masqueraded: 0, returned: 0 };
const noAnswer: ProbeReport = { ...good, nextHopAnswers: false };
const notAsked: ProbeReport = { ...good, nextHopAnswers: null };
const noUplink = { kind: 'unreachable', reason: 'Network is unreachable' } as const;
function silentAfter(after: 'DISCOVER' | 'REQUEST'): ProbeReport {
  return {
    ...good,
    lease: { kind: 'silent', after },
  };
}

function policy(family: string, table: string, chain: string) {
  return { family, table, chain, rule: null };
}

/** Facts → the first letter of each stage's state, the code of the first that is not right, and its command. */
const cases: [
  title: string,
  Partial<ProbeFacts>,
  states: string,
  kind: DetailKind | null,
  command?: RegExp | null,
][] = [
  ['all the way', {}, 'ooooooo', null],
  [
    'a port that never forwards',
    { portWaitedMs: null, report: null },
    'fssssss',
    'probe-port-waits',
    /^bridge /,
  ],
  [
    'no server',
    { dnsmasqTold: false, report: silentAfter('DISCOVER') },
    'ofsssss',
    'dhcp-not-running',
    /^virlan up$/,
  ],
  ['a server that is silent', { report: silentAfter('REQUEST') }, 'ofsssss', 'dhcp-silent', /^tcpdump/],
  [
    'a server that refuses',
    { report: { ...good, lease: { kind: 'refused' } } },
    'ofsssss',
    'offer-withdrawn',
    /^tcpdump/,
  ],
  [
    'another address',
    { report: { ...good, lease: { kind: 'leased', ip: '10.0.0.9' }, dns: null } },
    'ofsoooo',
    'wrong-lease',
    /^tcpdump/,
  ],
  [
    'ufw against DHCP',
    { report: silentAfter('DISCOVER'), drops: { dhcp: policy('ip', 'filter', 'ufw-user-input') } },
    'ofsssss',
    'packet-dropped',
    /^ufw allow in on k8s-br0 to any port 67$/,
  ],
  [
    'a DNS that does not know it',
    { report: { ...good, dns: { kind: 'answered', addresses: ['10.0.0.1'] } } },
    'oofoooo',
    'probe-name-unknown',
    /^virlan up$/,
  ],
  [
    'no DNS',
    {
      report: {
        ...good,
        dns: { kind: 'failed', code: 'ETIMEOUT' },
        upstream: { kind: 'failed', code: 'ETIMEOUT' },
      },
    },
    'oofooos',
    'dns-silent',
    /^ss /,
  ],
  [
    'a rule against DNS',
    {
      report: { ...good, dns: { kind: 'failed', code: 'ETIMEOUT' } },
      drops: { dns: { family: 'inet', table: 't', chain: 'c', rule: 'drop' } },
    },
    'oofooos',
    'packet-dropped',
    /^nft insert rule inet t c iifname k8s-br0 udp dport 53 accept$/,
  ],
  [
    'no name server behind it',
    { report: { ...good, upstream: { kind: 'failed', code: 'ESERVFAIL' } } },
    'oooooow',
    'outside-names-fail',
    /resolv\.conf/,
  ],
  ['no uplink', { uplink: noUplink, report: notAsked }, 'ooossso', null],
  [
    'an uplink without a next hop',
    { uplink: { kind: 'via', dev: 'ppp0', gateway: null }, report: notAsked },
    'ooossso',
    null,
  ],
  ['lost before the host', { report: noAnswer, counters: none }, 'ooofsso', 'lost-before-host', /^nft list/],
  [
    'lost within the host',
    { report: noAnswer, counters: { ...none, entered: 2 } },
    'ooofsso',
    'lost-in-host',
    /^nft list/,
  ],
  [
    'firewalld against forwarding',
    { report: noAnswer, counters: none, drops: { outgoing: policy('inet', 'firewalld', 'filter_FORWARD') } },
    'ooofsso',
    'packet-dropped',
    /^firewall-cmd --permanent --zone=libvirt --add-interface=k8s-br0 && firewall-cmd --reload$/,
  ],
  [
    'a policy of iptables against forwarding',
    { report: noAnswer, counters: none, drops: { outgoing: policy('ip', 'filter', 'FORWARD') } },
    'ooofsso',
    'packet-dropped',
    /^iptables -t filter -I FORWARD -i k8s-br0 -j ACCEPT && iptables -t filter -I FORWARD -o k8s-br0 -j ACCEPT$/,
  ],
  [
    'a policy of nftables against forwarding',
    { report: noAnswer, counters: none, drops: { outgoing: policy('ip', 'corp', 'fw') } },
    'ooofsso',
    'packet-dropped',
    /^nft insert rule ip corp fw iifname k8s-br0 accept && nft insert rule ip corp fw oifname k8s-br0 accept$/,
  ],
  [
    'ufw against forwarding',
    { report: noAnswer, counters: none, drops: { outgoing: policy('ip', 'filter', 'ufw-reject-forward') } },
    'ooofsso',
    'packet-dropped',
    /^ufw route allow in on k8s-br0$/,
  ],
  [
    'a hostile name of a chain',
    { report: noAnswer, counters: none, drops: { outgoing: policy('ip', '$(reboot)', 'x') } },
    'ooofsso',
    'packet-dropped',
    null,
  ],
  [
    'not masqueraded',
    { counters: { ...none, entered: 2, plain: 2 } },
    'oooofso',
    'not-masqueraded',
    /^nft list/,
  ],
  [
    'answered to the host alone',
    { report: noAnswer, counters: { ...none, masqueraded: 2 }, hostAnswered: true },
    'ooooofo',
    'answers-host-only',
    /^tcpdump -ni eth0 host 203/,
  ],
  [
    'answered to nobody',
    { report: noAnswer, counters: { ...none, masqueraded: 2 }, hostAnswered: false },
    'ooooooo',
    null,
  ],
  ['an answer lost within the host', { report: noAnswer }, 'ooooofo', 'answer-lost', /^nft list/],
  [
    'an answer dropped',
    { report: noAnswer, drops: { returning: { family: 'inet', table: 't', chain: 'c', rule: 'drop' } } },
    'ooooofo',
    'packet-dropped',
    /^nft insert rule inet t c oifname k8s-br0 accept$/,
  ],
  ['no nft', { counters: null }, 'ooossoo', null],
  ['no nft and no answer', { counters: null, report: noAnswer }, 'ooosswo', 'silence-unexplained'],
];

for (const [title, found, states, kind, command] of cases) {
  probe(title, () => {
    const findings = judgeProbe({ ...facts, ...found });
    assert.deepEqual(
      findings.map(({ check }) => check),
      stages,
    );
    assert.equal(findings.map(({ state }) => state[0]).join(''), states);
    const detail = findings.find(({ state }) => state === 'fail' || state === 'warn')?.detail;
    assert.equal(detail?.kind ?? null, kind);
    const fix = detail === undefined ? null : fixFor(detail);
    if (command === null) assert.equal(fix, null);
    else assert.match(fix?.command ?? '', command ?? /^$/);
  });
}

probe('one that could not be sent says why at each stage', () => {
  const reason = { kind: 'probe-without-address' } as const;
  assert.deepEqual(
    notSent(reason),
    stages.map(check => ({ check, state: 'skipped', detail: reason })),
  );
});

/** Returns what the watcher logs about a probe with these findings. */
function logged(findings: readonly Finding[]): string {
  const { level, message } = logLine({ kind: 'probed', network: 'k8s-br0', result: resultOf(findings) });
  return `${level} ${message}`;
}

const allPassed = 'probe: a machine gets its lease, names and the outside';

probe('the log says that the outside was reached only where it was', () => {
  assert.equal(logged(judgeProbe(facts)), `info ${allPassed}`);
  assert.equal(logged(judgeProbe({ ...facts, counters: null })), `info ${allPassed}`);
  assert.equal(
    logged(judgeProbe({ ...facts, uplink: noUplink, report: notAsked })),
    'info probe: a machine gets its lease and names; the outside was not tested: ' +
      'this host has no way to the outside',
  );
  const ppp0 = { kind: 'via', dev: 'ppp0', gateway: null } as const;
  assert.equal(
    logged(judgeProbe({ ...facts, uplink: ppp0, report: notAsked })),
    'info probe: a machine gets its lease and names; the outside was not tested: ' +
      'ppp0 has no next hop to ask',
  );
  const unanswered = { ...facts, report: noAnswer, counters: { ...none, masqueraded: 2 } };
  assert.equal(
    logged(judgeProbe({ ...unanswered, hostAnswered: false })),
    'info probe: a machine gets its lease and names; the outside was not confirmed: ' +
      '203.0.113.2 answers neither a machine nor this host; packets leave as they should',
  );
});

probe('the log tells of a warning, a failure, and a probe that was not sent', () => {
  const namesFail: ProbeReport = { ...good, upstream: { kind: 'failed', code: 'ESERVFAIL' } };
  assert.match(
    logged(judgeProbe({ ...facts, report: namesFail })),
    /^info .* the outside; names of the outside do not resolve \(ESERVFAIL\)/,
  );
  assert.match(logged(judgeProbe({ ...facts, portWaitedMs: null })), /^warn probe: k8s-br0 keeps a new port/);
  assert.match(logged(notSent({ kind: 'probe-without-address' })), /^warn probe: no address of dhcp-range/);
});

probe('status has whether a probe passed, and otherwise why not', () => {
  const at = '2026-11-22T10:00:00Z';
  const of = (findings: readonly Finding[]) => probeStatus(resultOf(findings), aDate);
  assert.deepEqual(of(judgeProbe(facts)), { at, passed: true, seen: null });
  const untested = judgeProbe({ ...facts, uplink: noUplink, report: notAsked });
  assert.deepEqual(of(untested), { at, passed: true, seen: null });
  const failed = of(judgeProbe({ ...facts, portWaitedMs: null }));
  assert.deepEqual([failed.passed, typeof failed.seen], [false, 'string']);
  assert.deepEqual(of(notSent({ kind: 'probe-error', message: 'no room' })), {
    at,
    passed: null,
    seen: 'no room',
  });
});

const pauses = { settleMs: 5, betweenMs: 200 };

/** Resolves when the condition holds. No event tells what the timers do. */
async function until(condition: () => boolean): Promise<void> {
  for (const end = performance.now() + 5000; !condition(); ) {
    if (performance.now() > end) throw new Error(`not so after 5 s: ${condition}`);
    await new Promise(resolve => setTimeout(resolve, 1));
  }
}

probe('in the background, many requests make one probe, and those that follow keep a distance', async () => {
  const began: number[] = [];
  const told: string[] = [];
  const background = new BackgroundProbes(
    async () => {
      began.push(performance.now());
      // A stage that is skipped does not make the others fail.
      return judgeProbe({ ...facts, uplink: noUplink, report: notAsked });
    },
    (_, { kind }) => told.push(kind),
    pauses,
  );
  for (let count = 0; count < 5; count++) background.request(network());
  await until(() => began.length === 1 && background.last('k8s-br0') !== null);
  assert.equal(background.last('k8s-br0')?.passed, true);
  assert.equal(background.last('lab'), null);
  for (let count = 0; count < 5; count++) background.request(network());
  await until(() => began.length === 2);
  // The first may be noted late on a busy machine; without the pause, it would be `settleMs` alone.
  assert((began[1] ?? 0) - (began[0] ?? 0) > pauses.betweenMs / 2);
  // The same result is told once.
  assert.deepEqual(told, ['passed']);
  background.stop();
});

probe('in the background, an uplink that comes or goes is told, though both probes passed', async () => {
  const results = [
    judgeProbe({ ...facts, uplink: noUplink, report: notAsked }),
    judgeProbe(facts),
    judgeProbe({ ...facts, portWaitedMs: 9 }),
  ];
  const told: string[] = [];
  let sent = 0;
  const background = new BackgroundProbes(
    async () => results[sent++] ?? [],
    ({ name }, result) => told.push(logLine({ kind: 'probed', network: name, result }).message),
    { settleMs: 1, betweenMs: 1 },
  );
  for (let count = 1; count <= results.length; count++) {
    background.request(network());
    await until(() => sent === count);
  }
  assert.equal(told.length, 2);
  assert.equal(told[1], allPassed);
  background.stop();
});

probe(
  'in the background, one that failed is tried again; one that was not sent, or was stopped, is not',
  async () => {
    const failing = judgeProbe({ ...facts, portWaitedMs: null, report: null });
    const results = [failing, failing, notSent({ kind: 'probe-without-address' })];
    const told: string[] = [];
    let left = results.length;
    const background = new BackgroundProbes(
      async () => results[results.length - left--] ?? [],
      (_, result) => told.push(result.kind === 'passed' ? 'passed' : `${result.kind} ${result.detail.kind}`),
      pauses,
    );
    background.request(network());
    await until(() => left === 0 && told.length === 2);
    assert.deepEqual(told, ['failed probe-port-waits', 'not-sent probe-without-address']);
    background.stop();
    background.request(network());
    await new Promise(resolve => setTimeout(resolve, 2 * pauses.betweenMs));
    assert.equal(left, 0);
  },
);

probe.run();
