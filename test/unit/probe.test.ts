// probe.test.ts: tests the counters of a probe, the drops it finds, its findings, and when the watcher sends
// it.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { DetailKind } from '../../src/diagnosis/details.ts';
import type { Finding } from '../../src/diagnosis/finding.ts';
import { parseCounters, renderCounters, renderTracedCounters } from '../../src/diagnosis/probe/counters.ts';
import { findDrop, findDrops } from '../../src/diagnosis/probe/drops.ts';
import { type ProbeFacts, stages } from '../../src/diagnosis/probe/facts.ts';
import { judgeProbe, notSent } from '../../src/diagnosis/probe/judge.ts';
import { findMarks } from '../../src/diagnosis/probe/marks.ts';
import type { ProbeReport } from '../../src/diagnosis/probe/protocol.ts';
import { isReachable } from '../../src/diagnosis/probe/reachability.ts';
import { probeStatus, resultOf } from '../../src/diagnosis/probe/result.ts';
import { traceEvents } from '../../src/diagnosis/probe/trace-events.ts';
import { commandAgainst } from '../../src/diagnosis/words/drop-remedy.ts';
import { fixFor, seen } from '../../src/diagnosis/words/words.ts';
import { findZoneSource } from '../../src/other-firewalls/firewalld-sources.ts';
import { logLine } from '../../src/report/log-line.ts';
import type { System } from '../../src/system/system.ts';
import { BackgroundProbes } from '../../src/watcher/background-probes.ts';
import { aDate, ip, mac } from './builders.ts';

const probe = suite('probe');

const counting = {
  bridge: 'k8s-br0',
  mac: mac(1),
  ip: ip('192.168.100.254'),
  nextHop: ip('203.0.113.2'),
};

probe('only the second table of counters enables tracing, and neither drops packets', () => {
  const [plain, traced] = [renderCounters(counting), renderTracedCounters(counting)];
  assert(!plain.includes('nftrace'));
  assert.equal(traced.match(/meta nftrace set 1/g)?.length, 3);
  for (const script of [plain, traced]) {
    assert.equal(script.match(/counter comment/g)?.length, 5);
    assert(script.startsWith('table ip virlan_probe\ndelete table ip virlan_probe\n'));
    assert.doesNotMatch(script, /\bdrop\b|reject/);
  }
});

probe('counters are parsed by their names', () => {
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
  assert.deepEqual(parseCounters(json), { entered: 2, plain: 0, masqueraded: 1, arrived: 0, returned: 0 });
  for (const text of ['', '{}', '[]', 'null', '{"nftables":[null]}']) assert.equal(parseCounters(text), null);
});

probe('a rule that is a reverse path filter is passed by the link of the packet', () => {
  const drop = (family: string, table: string, rule: string, link: string | null) =>
    commandAgainst(
      { family, table, chain: 'PREROUTING', rule, links: { in: link, out: null } },
      'returning',
      'k8s-br0',
    );
  const fib = 'fib saddr . iif oif 0 drop';
  const cases = [
    [drop('inet', 'filters', fib, 'wan'), 'nft insert rule inet filters PREROUTING iifname wan accept'],
    [drop('ip', 'raw', '# rpfilter drop', 'wan'), 'iptables -t raw -I PREROUTING -i wan -j ACCEPT'],
    [drop('inet', 'filters', fib, null), null],
    [drop('inet', 'filters', fib, 'wan; reboot'), null],
    [drop('inet', 'filters', 'ip saddr 203.0.113.1 drop', 'wan'), null],
    // About the destination of a packet.
    [drop('inet', 'filters', 'fib daddr . iif type != local drop', 'wan'), null],
  ];
  for (const [command, expected] of cases) assert.equal(command, expected);
});

probe(
  'a packet with an address that firewalld dropped is dropped by the source of a zone, and no other packet is',
  () => {
    const by = { zone: 'internal', source: '192.168.0.0/16' };
    const of = (table: string) => ({
      family: 'inet',
      table,
      chain: 'in',
      rule: 'reject',
      links: { in: 'k8s-br0', out: null },
    });
    const codes = (changes: Partial<ProbeFacts>) =>
      judgeProbe({ ...facts, zoneSource: by, ...changes }).map(({ detail }) => detail.kind);
    const dnsFailed = { ...good, dns: { kind: 'failed', code: 'ETIMEOUT' } } as const;
    assert(codes({ report: dnsFailed, drops: { dns: of('firewalld') } }).includes('dropped-by-zone'));
    assert(codes({ report: dnsFailed, drops: { dns: of('corp') } }).includes('packet-dropped'));
    assert(
      codes({ report: dnsFailed, drops: { dns: of('firewalld') }, zoneSource: null }).includes(
        'packet-dropped',
      ),
    );
    const silent = { ...good, lease: { kind: 'silent', after: 'DISCOVER' } } as const;
    assert(codes({ report: silent, drops: { dhcp: of('firewalld') } }).includes('packet-dropped'));
  },
);

probe(
  'a rule of virlan itself that drops a packet is named with the key that decides, and never changed',
  () => {
    const bridge = 'k8s-br0';
    const links = { in: bridge, out: null };
    const rule = 'ip daddr 203.0.113.2 drop';
    const cases = [
      [{ family: 'ip', table: 'virlan-k8s-br0', chain: 'forward' }, /mode, outside, uplink and reaches/],
      [{ family: 'ip', table: 'filter', chain: 'VIRLAN-FWD-k8s-br0' }, /mode, outside, uplink and reaches/],
      [
        { family: 'iptables-legacy', table: 'filter', chain: 'VIRLAN-INP-k8s-br0' },
        /host-access and host-allow/,
      ],
      [{ family: 'ip', table: 'security', chain: 'VIRLAN-LATE-k8s-br0' }, /host-access and host-allow/],
      [{ family: 'ip', table: 'virlan-lab', chain: 'input' }, /host-firewall .* bridge lab/],
      [{ family: 'bridge', table: 'virlan-k8s-br0', chain: 'dhcp' }, /guard/],
      [{ family: 'ip', table: 'virlan-tunnel-k8s-br0', chain: 'arriving' }, /peers/],
      [{ family: 'ip', table: 'virlan-k8s-br0', chain: 'early' }, /no key/],
    ] as const;
    for (const [place, key] of cases) {
      const drops = { outgoing: { ...place, rule, links } };
      const report = { ...good, nextHopAnswers: false };
      const counters = { entered: 2, plain: 0, masqueraded: 0, arrived: 0, returned: 0 };
      const found = judgeProbe({ ...facts, report, counters, drops });
      const { detail } = found.find(({ check }) => check === 'probe-forward') ?? assert.fail();
      assert.equal(detail.kind, 'dropped-by-virlan', place.table);
      assert.match(seen(detail), key);
      const fix = fixFor(detail);
      assert.equal(fix?.mends, false);
      assert.doesNotMatch(fix?.command ?? '', /insert| -I |delete| -D /);
    }
  },
);

probe('the source of a zone that has an address is found, whatever else there is', async () => {
  const zones = {
    trusted: { sources: ['192.168.100.0/24'] },
    block: { sources: ['192.168.100.7', '52:54:00:00:00:01', 'fd00::/8', 'ipset:broken'] },
    work: { interfaces: ['eth0'], sources: ['ipset:lan'] },
  };
  const run = async (_program: string, args: readonly string[]) => {
    if (args.includes('getActiveZones')) return JSON.stringify({ data: [zones] });
    if (args.includes('broken')) throw new Error('no such set');
    return JSON.stringify({ data: [['10.0.0.0/8', '192.168.96.0/20']] });
  };
  const find = (address: string) => findZoneSource({ run } as unknown as System, ip(address));
  assert.deepEqual(await find('192.168.100.254'), { zone: 'work', source: 'ipset:lan' });
  assert.deepEqual(await find('192.168.100.7'), { zone: 'block', source: '192.168.100.7' });
  assert.equal(await find('192.168.200.1'), null);
});

probe('a drop that no rule about the bridge can prevent has the command that shows its rule', () => {
  const fix = (family: string, table: string, chain: string) =>
    fixFor({
      kind: 'packet-dropped',
      bridge: 'k8s-br0',
      packet: { kind: 'returning', from: '203.0.113.1' },
      drop: { family, table, chain, rule: 'udp drop', links: { in: 'wan', out: null } },
    });
  const cases: [drop: [family: string, table: string, chain: string], command: string][] = [
    ...['raw', 'mangle', 'nat'].flatMap((table): typeof cases => [
      [['ip', table, 'PREROUTING'], `iptables -t ${table} -S PREROUTING`],
      [['iptables-legacy', table, 'PREROUTING'], `iptables-legacy -t ${table} -S PREROUTING`],
      [['ip', table, 'corp'], `iptables -t ${table} -S corp`],
      [['inet', table, 'first'], `nft -a list chain inet ${table} first`],
    ]),
    [['ip', 'corp', 'first'], 'nft -a list chain ip corp first'],
    [['netdev', 'corp', 'first'], 'nft -a list chain netdev corp first'],
    [['inet', 'corp', 'a;reboot'], 'nft -a list ruleset'],
    [['iptables-legacy', 'raw', 'a;reboot'], 'iptables-legacy-save'],
  ];
  for (const [drop, command] of cases) assert.deepEqual(fix(...drop), { command, mends: false, ours: false });
});

/** The output of `nft monitor trace` 1.0.6. */
const lines = `add table ip virlan_probe
trace id c7921ce8 ip virlan_probe earliest packet: iif "k8s-br0" ether saddr 52:54:00:aa:bb:cc ip saddr 192.168.100.254 ip daddr 203.0.113.2 ip ttl 64 icmp type echo-request
trace id c7921ce8 ip virlan_probe earliest unknown rule handle 3 (verdict continue)
trace id c7921ce8 ip virlan_probe earliest policy accept
trace id 7cc4cf6a ip virlan-k8s-br0 forward packet: iif "k8s-br0" oif "uplink" ip saddr 192.168.100.254 ip daddr 203.0.113.2 ip ttl 63
trace id 7cc4cf6a ip virlan-k8s-br0 forward rule iifname "k8s-br0" ip saddr 192.168.100.0/24 accept (verdict accept)
trace id 66b8eb27 inet other in packet: iif "k8s-br0" ip saddr 192.168.100.254 ip daddr 192.168.100.1 udp sport 4711 udp dport 53 udp length 30
trace id 66b8eb27 inet other in unknown rule handle 2 (verdict drop)
trace id 7cc4cf6a ip filter FORWARD packet: iif "k8s-br0" oif "uplink" ip saddr 192.168.100.254 ip daddr 203.0.113.2 ip ttl 63
trace id 7cc4cf6a ip filter FORWARD rule ip daddr 203.0.113.2 counter packets 7 bytes 588 drop (verdict drop)
trace id c676a8b4 ip filter FORWARD packet: iif "uplink" oif "k8s-br0" ip saddr 203.0.113.2 ip daddr 192.168.100.254 ip ttl 63
trace id c676a8b4 ip filter FORWARD policy drop `.split('\n');
const trace = traceEvents(lines);

probe('the drop of a packet is found in the trace', () => {
  assert.deepEqual(
    findDrop(trace, packet => packet.includes('ip daddr 203.0.113.2')),
    {
      family: 'ip',
      table: 'filter',
      chain: 'FORWARD',
      rule: 'ip daddr 203.0.113.2 counter drop',
      links: { in: 'k8s-br0', out: 'uplink' },
    },
  );
  assert.deepEqual(
    findDrop(trace, packet => packet.includes('ip saddr 203.0.113.2')),
    {
      family: 'ip',
      table: 'filter',
      chain: 'FORWARD',
      rule: null,
      links: { in: 'uplink', out: 'k8s-br0' },
    },
  );
  assert.deepEqual(
    findDrop(trace, packet => packet.includes('udp dport 53')),
    {
      family: 'inet',
      table: 'other',
      chain: 'in',
      rule: 'handle 2',
      links: { in: 'k8s-br0', out: null },
    },
  );
  assert.equal(
    findDrop(trace, packet => packet.includes('udp dport 67')),
    null,
  );
  assert.equal(
    findDrop(traceEvents(['trace id', 'trace id 1 2 3', '', 'trace id 1 ip a b policy drop']), () => false),
    null,
  );
});

const request = {
  mac: mac(1),
  prefix: 24,
  gateway: '192.168.100.1',
  name: 'virlan-probe.test',
  nextHop: '203.0.113.2',
  asksUpstream: false,
};

probe('the drops of each packet of a probe are distinguished', () => {
  const { dhcp, dns, outgoing, returning } = findDrops(trace, request);
  const rules = [dhcp, dns, outgoing, returning].map(drop => drop?.rule);
  assert.deepEqual(rules, [undefined, 'handle 2', 'ip daddr 203.0.113.2 counter drop', null]);
  assert.equal(returning?.chain, 'FORWARD');
});

const dhcpAnswer =
  'ip saddr 192.168.100.1 ip daddr 255.255.255.255 ip ttl 64 udp sport 67 udp dport 68 udp length 308';

probe("the rejection of the host's own copy of a DHCP answer loses nothing", () => {
  const reject = 'ip virlan-k8s-br0 input rule reject (verdict drop)';
  const copy = [
    `trace id 1 ip virlan-k8s-br0 input packet: iif "k8s-br0" ${dhcpAnswer} `,
    `trace id 1 ${reject}`,
  ];
  assert.equal(findDrops(traceEvents(copy), request).dhcp, null);
  const sent = [
    'trace id 2 inet corp out packet: oif "k8s-br0" '.concat(dhcpAnswer, ' '),
    'trace id 2 inet corp out rule udp sport 67 drop (verdict drop)',
  ];
  assert.equal(findDrops(traceEvents([...copy, ...sent]), request).dhcp?.table, 'corp');
  const asked = [
    'trace id 3 ip corp in packet: iif "k8s-br0" ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 ',
    'trace id 3 ip corp in policy drop ',
  ];
  assert.deepEqual(findDrops(traceEvents([...asked, ...copy]), request).dhcp?.chain, 'in');
});

probe('the rule that queued a packet which came no further is the one that loses it', () => {
  const packet =
    'packet: iif "k8s-br0" oif "uplink" ip saddr 192.168.100.254 ip daddr 203.0.113.2 ip ttl 63 ';
  const queued = [
    `trace id 1 ip filter FORWARD ${packet}`,
    'trace id 1 ip filter FORWARD rule iifname "k8s-br0" counter packets 4 bytes 9 queue num 7 (verdict queue)',
  ];
  assert.deepEqual(findDrops(traceEvents(queued), request).outgoing, {
    family: 'ip',
    table: 'filter',
    chain: 'FORWARD',
    rule: 'iifname "k8s-br0" counter queue num 7',
    links: { in: 'k8s-br0', out: 'uplink' },
  });
  const passed = [
    `trace id 2 ip virlan_probe outgoing ${packet}`,
    'trace id 2 ip virlan_probe outgoing policy accept ',
  ];
  assert.equal(findDrops(traceEvents([...queued, ...passed]), request).outgoing, null);
  const dropped = [`trace id 3 ip corp f ${packet}`, 'trace id 3 ip corp f policy drop '];
  assert.equal(findDrops(traceEvents([...queued, ...dropped]), request).outgoing?.table, 'corp');
  // No chain of the probe is at the end of a hook of bridges.
  const onBridge = queued.map(line => line.replace(' ip filter ', ' bridge filter '));
  assert.equal(findDrops(traceEvents(onBridge), request).outgoing, null);
});

probe('the marks of packets are those past the last rule before routing', () => {
  const packets = {
    dns: 'packet: oif "k8s-br0" ip saddr 192.168.100.1 ip daddr 192.168.100.254 udp sport 53 udp dport 4711 udp length 60',
    outgoing: 'packet: iif "k8s-br0" ip saddr 192.168.100.254 ip daddr 203.0.113.2 ip ttl 64',
    returning: 'packet: iif "uplink" ip saddr 203.0.113.2 ip daddr 192.168.100.254 ip ttl 64',
  };
  const routed = (id: number, packet: string, chain: string, mark: string) => [
    `trace id ${id} ip corp ${chain} ${packet} `,
    `trace id ${id} ip corp ${chain} policy accept meta mark 0x00000077 `,
    `trace id ${id} ip virlan_probe ${chain} ${packet} `,
    `trace id ${id} ip virlan_probe ${chain} policy accept ${mark}`,
  ];
  const marked = [
    ...routed(1, packets.outgoing, 'routed', 'meta mark 0x80000020 '),
    ...routed(2, packets.returning, 'routed', ''),
    ...routed(3, packets.dns, 'routed_answers', 'meta mark 0x00000005 '),
  ];
  assert.deepEqual(findMarks(traceEvents(marked), request), { dns: 5, outgoing: 0x80000020 });
  // Where the mark is refused, the kernel drops the packet after the chain that has set the mark.
  assert.deepEqual(findMarks(traceEvents(routed(4, packets.dns, 'out', '').slice(0, 2)), request), {
    dns: 0x77,
  });
  assert.deepEqual(findMarks(trace, request), {});
});

const fromVpn = {
  from: '0.0.0.0/0',
  to: '192.168.0.0/16',
  direction: 'out',
  priority: 7,
  effect: 'encrypts',
} as const;

const good: ProbeReport = {
  lease: { kind: 'leased', ip: '192.168.100.254' },
  dns: { kind: 'answered', addresses: ['192.168.100.254'] },
  upstream: { kind: 'answered' },
  nextHopAnswers: true,
};

const facts: ProbeFacts = {
  promise: 'masqueraded',
  isolated: false,
  subnet: '192.168.100.0/24',
  bridge: 'k8s-br0',
  gateway: '192.168.100.1',
  ip: '192.168.100.254',
  dnsmasqTold: true,
  portWaitedMs: 2,
  report: good,
  uplink: { kind: 'via', dev: 'eth0', gateway: '203.0.113.2' },
  counters: { entered: 2, plain: 0, masqueraded: 2, arrived: 1, returned: 1 },
  hostAnswered: null,
  isUnresolved: false,
  reversePathDrops: 0,
  drops: {},
  diversions: {},
  takings: {},
  zoneSource: null,
  untracking: { outgoing: null, returning: null },
  dnsTranslatedBy: null,
  upstreamDrop: null,
};

const none = { entered: 0, plain: 0, masqueraded: 0, arrived: 0, returned: 0 };
const noAnswer: ProbeReport = { ...good, nextHopAnswers: false };
const notAsked: ProbeReport = { ...good, nextHopAnswers: null };
const noUplink = { kind: 'unreachable', reason: 'Network is unreachable' } as const;

const isolated = { promise: 'kept-inside', isolated: true } as const;
const routed = { promise: 'own-address' } as const;

function silentAfter(after: 'DISCOVER' | 'REQUEST'): ProbeReport {
  return {
    ...good,
    lease: { kind: 'silent', after },
  };
}

function policy(family: string, table: string, chain: string) {
  return { family, table, chain, rule: null, links: { in: 'k8s-br0', out: 'eth0' } };
}

function byMark(link: string | null) {
  return { mark: 0x20, priority: 90, link, table: link === null ? null : '100' };
}

const toHost = { in: 'k8s-br0', out: null };
const fromHost = { in: null, out: 'k8s-br0' };
const zone = { outgoing: { ...policy('ip', 'corp', 'early'), rule: 'ct zone set 5' }, returning: null };
const dnat = { ...policy('ip', 'nat', 'PREROUTING'), rule: 'xt target "DNAT"' };
const dropByRule = { family: 'inet', table: 't', chain: 'c', rule: 'drop' };

/**
 * Facts → the first letter of each stage's state, the code of the first failure or warning, and its command.
 */
const cases: [
  title: string,
  Partial<ProbeFacts>,
  states: string,
  kind: DetailKind | null,
  command?: RegExp | null,
][] = [
  ['every stage passes', {}, 'ooooooo', null],
  [
    'a port that never forwards',
    { portWaitedMs: null, report: null },
    'fssssss',
    'probe-port-waits',
    /^bridge /,
  ],
  [
    'no DHCP server',
    { dnsmasqTold: false, report: silentAfter('DISCOVER') },
    'ofsssss',
    'dhcp-not-running',
    /^virlan up$/,
  ],
  [
    'a DHCP server that does not answer',
    { report: silentAfter('REQUEST') },
    'ofsssss',
    'dhcp-silent',
    /^tcpdump/,
  ],
  [
    'a DHCP server that refuses',
    { report: { ...good, lease: { kind: 'refused' } } },
    'ofsssss',
    'offer-withdrawn',
    /^tcpdump/,
  ],
  [
    'a lease of another address',
    { report: { ...good, lease: { kind: 'leased', ip: '10.0.0.9' }, dns: null } },
    'ofsoooo',
    'wrong-lease',
    /^tcpdump/,
  ],
  [
    'ufw drops DHCP',
    {
      report: silentAfter('DISCOVER'),
      drops: { dhcp: { ...policy('ip', 'filter', 'ufw-user-input'), links: toHost } },
    },
    'ofsssss',
    'packet-dropped',
    /^ufw allow in on k8s-br0 to any port 67$/,
  ],
  [
    'ufw drops what the host sends',
    {
      report: silentAfter('DISCOVER'),
      drops: { dhcp: { ...policy('ip', 'filter', 'ufw-x'), links: fromHost } },
    },
    'ofsssss',
    'packet-dropped',
    /^ufw allow out on k8s-br0$/,
  ],
  [
    'a policy drops what the host sends',
    {
      report: silentAfter('DISCOVER'),
      drops: { dhcp: { ...policy('ip', 'filter', 'OUTPUT'), links: fromHost } },
    },
    'ofsssss',
    'packet-dropped',
    /^iptables -t filter -I OUTPUT -o k8s-br0 -j ACCEPT$/,
  ],
  [
    'a rule drops the answers of the name server',
    {
      report: { ...good, dns: { kind: 'failed', code: 'ETIMEOUT' } },
      drops: { dns: { ...dropByRule, links: fromHost } },
    },
    'oofooos',
    'packet-dropped',
    /^nft insert rule inet t c oifname k8s-br0 udp sport 53 accept$/,
  ],
  [
    'the name of the probe is unknown',
    { report: { ...good, dns: { kind: 'answered', addresses: ['10.0.0.1'] } } },
    'oofoooo',
    'probe-name-unknown',
    /^virlan up$/,
  ],
  [
    'no DNS server',
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
    'a rule drops DNS',
    {
      report: { ...good, dns: { kind: 'failed', code: 'ETIMEOUT' } },
      drops: { dns: { ...dropByRule, links: toHost } },
    },
    'oofooos',
    'packet-dropped',
    /^nft insert rule inet t c iifname k8s-br0 udp dport 53 accept$/,
  ],
  [
    'no upstream name server',
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
  [
    'packets are lost before the host',
    { report: noAnswer, counters: none },
    'ooofsso',
    'lost-before-host',
    /^nft list/,
  ],
  [
    'packets are lost in the host',
    { report: noAnswer, counters: { ...none, entered: 2 } },
    'ooofsso',
    'lost-in-host',
    /^nft list/,
  ],
  [
    'packets are refused because of a mark',
    { report: noAnswer, counters: { ...none, entered: 2 }, diversions: { outgoing: byMark(null) } },
    'ooofsso',
    'routed-by-mark',
    /^ip rule show$/,
  ],
  [
    'answers are led elsewhere because of a mark',
    {
      report: noAnswer,
      counters: { ...none, entered: 2, masqueraded: 2, arrived: 1, returned: 1 },
      diversions: { returning: byMark('eth0') },
    },
    'ooooofo',
    'routed-by-mark',
    /^ip rule add to 192\.168\.100\.0\/24 lookup main pref 89$/,
  ],
  [
    'answers of the name server are led elsewhere because of a mark',
    {
      report: { ...good, dns: { kind: 'failed', code: 'ETIMEOUT' } },
      diversions: { dns: byMark('eth0') },
    },
    'oofooos',
    'routed-by-mark',
    /^ip rule add to 192\.168\.100\.0\/24 lookup main pref 89$/,
  ],
  [
    'a policy of IPsec takes the answers',
    {
      report: noAnswer,
      counters: { ...none, entered: 2, masqueraded: 2, arrived: 1, returned: 1 },
      takings: { returning: fromVpn },
    },
    'ooooofo',
    'taken-by-ipsec',
    /^ip xfrm policy update src 0\.0\.0\.0\/0 dst 192\.168\.100\.0\/24 dir out priority 6 action allow$/,
  ],
  [
    'the next hop does not answer, and a policy of IPsec would take its answers',
    {
      report: noAnswer,
      counters: { ...none, entered: 2, masqueraded: 2 },
      hostAnswered: true,
      takings: { returning: fromVpn },
    },
    'ooooofo',
    'answers-host-only',
    /^tcpdump /,
  ],
  [
    'a policy of IPsec takes the answers of the name server',
    { report: { ...good, dns: { kind: 'failed', code: 'ETIMEOUT' } }, takings: { dns: fromVpn } },
    'oofooos',
    'taken-by-ipsec',
    /^ip xfrm policy update src 0\.0\.0\.0\/0 dst 192\.168\.100\.0\/24 dir out priority 6 action allow$/,
  ],
  [
    'firewalld drops forwarded packets',
    { report: noAnswer, counters: none, drops: { outgoing: policy('inet', 'firewalld', 'filter_FORWARD') } },
    'ooofsso',
    'packet-dropped',
    /^firewall-cmd --permanent --zone=trusted --change-interface=k8s-br0 && firewall-cmd --reload$/,
  ],
  [
    'a policy of iptables drops forwarded packets',
    { report: noAnswer, counters: none, drops: { outgoing: policy('ip', 'filter', 'FORWARD') } },
    'ooofsso',
    'packet-dropped',
    /^iptables -t filter -I FORWARD -i k8s-br0 -j ACCEPT && iptables -t filter -I FORWARD -o k8s-br0 -j ACCEPT$/,
  ],
  [
    'a policy of nftables drops forwarded packets',
    { report: noAnswer, counters: none, drops: { outgoing: policy('ip', 'corp', 'fw') } },
    'ooofsso',
    'packet-dropped',
    /^nft insert rule ip corp fw iifname k8s-br0 accept && nft insert rule ip corp fw oifname k8s-br0 accept$/,
  ],
  [
    'ufw drops forwarded packets',
    { report: noAnswer, counters: none, drops: { outgoing: policy('ip', 'filter', 'ufw-reject-forward') } },
    'ooofsso',
    'packet-dropped',
    /^ufw route allow in on k8s-br0$/,
  ],
  [
    'a table with a hostile name drops forwarded packets',
    { report: noAnswer, counters: none, drops: { outgoing: policy('ip', '$(reboot)', 'x') } },
    'ooofsso',
    'packet-dropped',
    /^nft -a list ruleset$/,
  ],
  [
    'a rule keeps answers from being tracked, so that they are for the host, which drops them',
    {
      report: noAnswer,
      counters: { ...none, entered: 2, masqueraded: 2, arrived: 2 },
      hostAnswered: true,
      drops: { returning: { ...policy('ip', 'filter', 'INPUT'), links: { in: 'eth0', out: null } } },
      untracking: { outgoing: null, returning: { ...policy('ip', 'corp', 'early'), rule: 'notrack' } },
    },
    'ooooofo',
    'answer-not-tracked',
    /^nft -a list chain ip corp early$/,
  ],
  [
    'a rule sends the DNS to a server that does not answer',
    { report: { ...good, dns: { kind: 'failed', code: 'ETIMEOUT' } }, dnsTranslatedBy: dnat },
    'oofooos',
    'dns-redirected',
    /^iptables -t nat -I PREROUTING -i k8s-br0 -d 192\.168\.100\.1 -p udp --dport 53 -j ACCEPT && /,
  ],
  [
    'a rule sends the DNS to a server that does not know the probe',
    { report: { ...good, dns: { kind: 'answered', addresses: [] } }, dnsTranslatedBy: dnat },
    'oofoooo',
    'dns-redirected',
    /^iptables -t nat -I PREROUTING -i k8s-br0 -d 192\.168\.100\.1 -p udp --dport 53 -j ACCEPT && /,
  ],
  [
    'a rule has packets tracked in a zone of their own, and an answer comes',
    { report: noAnswer, counters: { ...none, entered: 2, masqueraded: 2, arrived: 1 }, untracking: zone },
    'ooooofo',
    'answer-not-tracked',
    /^nft -a list chain ip corp early$/,
  ],
  [
    'a rule has packets tracked in a zone of their own, and no answer comes',
    {
      report: noAnswer,
      counters: { ...none, entered: 2, masqueraded: 2 },
      hostAnswered: true,
      untracking: zone,
    },
    'ooooofo',
    'answers-host-only',
    /^tcpdump /,
  ],
  [
    'the gateway does not answer ARP',
    { report: { ...noAnswer, dns: { kind: 'unresolved' } }, counters: none },
    'oofssss',
    'arp-silent',
    /^nft list ruleset; sysctl /,
  ],
  [
    'packets are not masqueraded',
    { counters: { ...none, entered: 2, plain: 2 } },
    'oooofso',
    'not-masqueraded',
    /^nft list/,
  ],
  [
    'a rule keeps packets from being tracked',
    {
      counters: { ...none, entered: 2, plain: 2 },
      untracking: {
        outgoing: { ...policy('ip', 'raw', 'PREROUTING'), rule: 'xt target "CT"' },
        returning: null,
      },
    },
    'oooofso',
    'not-tracked',
    /^iptables -t raw -S PREROUTING$/,
  ],
  [
    'the next hop answers only the host',
    { report: noAnswer, counters: { ...none, masqueraded: 2 }, hostAnswered: true },
    'ooooofo',
    'answers-host-only',
    /^tcpdump -ni eth0 host 203/,
  ],
  [
    'the next hop answers neither',
    { report: noAnswer, counters: { ...none, masqueraded: 2 }, hostAnswered: false },
    'ooooooo',
    null,
  ],
  [
    'nobody has the address of the next hop',
    {
      report: noAnswer,
      counters: { ...none, masqueraded: 2 },
      hostAnswered: false,
      isUnresolved: true,
    },
    'ooooowo',
    'next-hop-unresolved',
    /^ip neighbour show to 203\.0\.113\.2 dev eth0$/,
  ],
  ['the answer is lost in the host', { report: noAnswer }, 'ooooofo', 'answer-lost', /^nft list/],
  [
    'the answer is dropped',
    { report: noAnswer, drops: { returning: { ...dropByRule, links: { in: 'eth0', out: 'k8s-br0' } } } },
    'ooooofo',
    'packet-dropped',
    /^nft insert rule inet t c oifname k8s-br0 accept$/,
  ],
  ['isolated: nothing leaves', { ...isolated, report: noAnswer, counters: none }, 'oooosss', null],
  ['isolated: nothing can be counted', { ...isolated, report: noAnswer, counters: null }, 'ooossss', null],
  [
    'isolated: a packet leaves',
    { ...isolated, report: noAnswer, counters: { ...none, plain: 1 } },
    'ooofsss',
    'not-kept-inside',
    /^virlan up$/,
  ],
  [
    'another uplink is the only way: nothing leaves',
    { promise: 'kept-inside', report: noAnswer, counters: none },
    'oooosso',
    null,
  ],
  ['routed: packets keep their address', { ...routed, counters: { ...none, plain: 2 } }, 'ooooooo', null],
  [
    'routed: the router of the LAN has no route',
    { ...routed, report: noAnswer, counters: { ...none, plain: 2 }, hostAnswered: true },
    'ooooowo',
    'route-missing',
  ],
  ['routed: something masquerades', routed, 'oooofoo', 'own-address-lost', /^nft list/],
  ['open: what others do is reported', { promise: 'unknown' }, 'ooooooo', null],
  [
    'open: what others drop is not a failure',
    { promise: 'unknown', report: noAnswer, counters: none, drops: { outgoing: policy('ip', 'corp', 'fw') } },
    'ooowsso',
    'packet-dropped',
    /^nft insert/,
  ],
  ['no nft: an answer shows that packets pass', { counters: null }, 'oooosoo', null],
  [
    'no nft, and the next hop answers nobody',
    { counters: null, report: noAnswer, hostAnswered: false },
    'ooosswo',
    'silence-unexplained',
  ],
  [
    'no nft, and the next hop answers the host only',
    { counters: null, report: noAnswer, hostAnswered: true },
    'ooossfo',
    'answers-host-only',
    /^tcpdump/,
  ],
  [
    'no nft and routed, and the next hop answers the host only',
    { ...routed, counters: null, report: noAnswer, hostAnswered: true },
    'ooosswo',
    'silence-unexplained',
  ],
  [
    'no nft: a rule of iptables-legacy drops what is forwarded',
    { counters: null, report: noAnswer, drops: { outgoing: policy('iptables-legacy', 'mangle', 'FORWARD') } },
    'ooofsso',
    'packet-dropped',
    /^iptables-legacy -t mangle -I FORWARD -i k8s-br0 -j ACCEPT && /,
  ],
  [
    'no nft: a rule of iptables-legacy drops answers',
    {
      counters: null,
      report: noAnswer,
      drops: {
        returning: {
          ...dropByRule,
          family: 'iptables-legacy',
          table: 'filter',
          chain: 'FORWARD',
          links: { in: 'eth0', out: 'k8s-br0' },
        },
      },
    },
    'ooossfo',
    'packet-dropped',
    /^iptables-legacy -t filter -I FORWARD -o k8s-br0 -j ACCEPT$/,
  ],
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

probe('a probe that was not sent has the reason at each stage', () => {
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

probe('the log reports the outside as reached only if it was', () => {
  assert.equal(logged(judgeProbe(facts)), `info ${allPassed}`);
  assert.equal(logged(judgeProbe({ ...facts, counters: null })), `info ${allPassed}`);
  assert.equal(
    logged(judgeProbe({ ...facts, uplink: noUplink, report: notAsked })),
    'info probe: a machine gets its lease and names; the outside was not tested: ' +
      'what machines send has no way to the outside',
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

probe('the log reports a warning, a failure, and a probe that was not sent', () => {
  const namesFail: ProbeReport = { ...good, upstream: { kind: 'failed', code: 'ESERVFAIL' } };
  assert.match(
    logged(judgeProbe({ ...facts, report: namesFail })),
    /^info .* the outside; names of the outside do not resolve \(ESERVFAIL\)/,
  );
  assert.match(logged(judgeProbe({ ...facts, portWaitedMs: null })), /^warn probe: k8s-br0 keeps a new port/);
  assert.match(logged(notSent({ kind: 'probe-without-address' })), /^warn probe: no address of dhcp-range/);
});

probe('status reports whether a probe passed, and otherwise the reason', () => {
  const at = '2026-11-22T10:00:00Z';
  const statusOf = (findings: readonly Finding[]) => probeStatus(resultOf(findings), aDate);
  assert.deepEqual(statusOf(judgeProbe(facts)), { at, passed: true, check: null, seen: null });
  const untested = judgeProbe({ ...facts, uplink: noUplink, report: notAsked });
  assert.deepEqual(statusOf(untested), { at, passed: true, check: null, seen: null });
  const failed = statusOf(judgeProbe({ ...facts, portWaitedMs: null }));
  assert.deepEqual([failed.passed, failed.check, typeof failed.seen], [false, 'probe-port', 'string']);
  assert.deepEqual(statusOf(notSent({ kind: 'probe-error', message: 'no room' })), {
    at,
    passed: null,
    check: null,
    seen: 'no room',
  });
});

const pauses = {
  afterRepairMs: 5,
  betweenRepairsMs: 200,
  quietMs: 20,
  maxQuietMs: 80,
  betweenChangesMs: 100,
  maxBetweenChangesMs: 800,
  maxAgeMs: 60_000,
};

/** Resolves when the condition holds. Polls, because the timers emit no event. */
async function until(condition: () => boolean): Promise<void> {
  for (const end = performance.now() + 5000; !condition(); ) {
    if (performance.now() > end) throw new Error(`still false after 5 s: ${condition}`);
    await new Promise(resolve => setTimeout(resolve, 1));
  }
}

probe('in the background, many requests cause one probe, and the next one is delayed', async () => {
  const began: number[] = [];
  const reported: string[] = [];
  const background = new BackgroundProbes(
    async () => {
      began.push(performance.now());
      // A stage that is skipped does not make the others fail.
      return judgeProbe({ ...facts, uplink: noUplink, report: notAsked });
    },
    { ended: () => {}, changed: (_, { kind }) => reported.push(kind) },
    pauses,
  );
  for (let count = 0; count < 5; count++) background.request('k8s-br0');
  await until(() => began.length === 1 && background.last('k8s-br0') !== null);
  assert.equal(background.last('k8s-br0')?.passed, true);
  assert.equal(background.last('lab'), null);
  for (let count = 0; count < 5; count++) background.request('k8s-br0');
  await until(() => began.length === 2);
  // A busy machine may record the first start late. Without the pause the distance would be `afterRepairMs`.
  assert((began[1] ?? 0) - (began[0] ?? 0) > pauses.betweenRepairsMs / 2);
  // The same result is reported once.
  assert.deepEqual(reported, ['passed']);
  background.stop();
});

probe('in the background, an uplink that appears is reported, although both probes passed', async () => {
  const results = [
    judgeProbe({ ...facts, uplink: noUplink, report: notAsked }),
    judgeProbe(facts),
    judgeProbe({ ...facts, portWaitedMs: 9 }),
  ];
  const reported: string[] = [];
  let sent = 0;
  let ended = 0;
  const background = new BackgroundProbes(
    async () => results[sent++] ?? [],
    {
      ended: () => ended++,
      changed: (network, result) => reported.push(logLine({ kind: 'probed', network, result }).message),
    },
    { ...pauses, afterRepairMs: 1, betweenRepairsMs: 1 },
  );
  for (let count = 1; count <= results.length; count++) {
    background.request('k8s-br0');
    await until(() => sent === count && ended === count);
  }
  assert.equal(reported.length, 2);
  assert.equal(reported[1], allPassed);
  background.stop();
});

probe(
  'in the background, a failed probe is repeated; one that was not sent or was stopped is not',
  async () => {
    const failing = judgeProbe({ ...facts, portWaitedMs: null, report: null });
    const results = [failing, failing, notSent({ kind: 'probe-without-address' })];
    const reported: string[] = [];
    let left = results.length;
    const background = new BackgroundProbes(
      async () => results[results.length - left--] ?? [],
      {
        ended: () => {},
        changed: (_, result) =>
          reported.push(result.kind === 'passed' ? 'passed' : `${result.kind} ${result.detail.kind}`),
      },
      pauses,
    );
    background.request('k8s-br0');
    await until(() => left === 0 && reported.length === 2);
    assert.deepEqual(reported, ['failed probe-port-waits', 'not-sent probe-without-address']);
    background.stop();
    background.request('k8s-br0');
    await new Promise(resolve => setTimeout(resolve, 2 * pauses.betweenRepairsMs));
    assert.equal(left, 0);
  },
);

probe('in the background, a probe follows at once on one that was not sent', async () => {
  const results = [notSent({ kind: 'probe-without-block' }), judgeProbe(facts)];
  let sent = 0;
  let ended = 0;
  const background = new BackgroundProbes(
    async () => results[sent++] ?? [],
    { ended: () => ended++, changed: () => {} },
    { ...pauses, betweenRepairsMs: 60_000 },
  );
  for (let count = 1; count <= results.length; count++) {
    background.request('k8s-br0');
    await until(() => ended === count);
  }
  assert.equal(background.last('k8s-br0')?.passed, true);
  background.stop();
});

probe('in the background, an old result is renewed, also that of a probe that was not sent', async () => {
  const results = [notSent({ kind: 'probe-without-block' }), judgeProbe(facts), judgeProbe(facts)];
  const sentWith = async (maxAgeMs: number): Promise<number> => {
    let sent = 0;
    let ended = 0;
    const background = new BackgroundProbes(
      async () => results[sent++] ?? [],
      { ended: () => ended++, changed: () => {} },
      { ...pauses, afterRepairMs: 1, betweenRepairsMs: 1, maxAgeMs },
    );
    // A network without a result is probed for another reason.
    background.renew('k8s-br0');
    background.request('k8s-br0');
    await until(() => ended === 1);
    background.renew('k8s-br0');
    if (maxAgeMs === 0) await until(() => ended === 2);
    else await new Promise(resolve => setTimeout(resolve, pauses.betweenRepairsMs));
    background.stop();
    return sent;
  };
  assert.equal(await sentWith(0), 2);
  assert.equal(await sentWith(60_000), 1);
});

probe('in the background, a network that is no longer configured is forgotten', async () => {
  const results = [judgeProbe({ ...facts, portWaitedMs: null, report: null }), null];
  let sent = 0;
  const background = new BackgroundProbes(
    async () => results[sent++] ?? null,
    { ended: () => {}, changed: () => {} },
    pauses,
  );
  // The first one fails, and is repeated.
  background.request('k8s-br0');
  await until(() => sent === 2 && background.last('k8s-br0') === null);
  await new Promise(resolve => setTimeout(resolve, 2 * pauses.betweenRepairsMs));
  assert.equal(sent, 2);
  background.stop();
});

/** Returns probes in the background that add the time of each to a list. */
function recordedProbes(began: number[]): BackgroundProbes {
  const send = async () => {
    began.push(performance.now());
    return judgeProbe(facts);
  };
  return new BackgroundProbes(send, { ended: () => {}, changed: () => {} }, pauses);
}

/** Requests a probe after a change, each 10 ms for a while. Returns when probes began. */
async function probesOfChanges(forMs: number): Promise<number[]> {
  const began: number[] = [];
  const background = recordedProbes(began);
  for (const end = performance.now() + forMs; performance.now() < end; ) {
    background.requestAfterChange('k8s-br0');
    await new Promise(resolve => setTimeout(resolve, 10));
  }
  await new Promise(resolve => setTimeout(resolve, 2 * pauses.quietMs));
  background.stop();
  return began;
}

probe('in the background, a burst of changes causes one probe, after its end', async () => {
  const began: number[] = [];
  const background = recordedProbes(began);
  for (let change = 0; change < 5; change++) {
    // Timers begin when the turn of the event loop did.
    await new Promise(resolve => setImmediate(resolve));
    background.requestAfterChange('k8s-br0');
  }
  const end = performance.now();
  await until(() => began.length > 0);
  assert((began[0] ?? 0) - end > pauses.quietMs - 2);
  await new Promise(resolve => setTimeout(resolve, 2 * pauses.quietMs));
  assert.equal(began.length, 1);
  background.stop();
});

probe('in the background, probes of changes that go on become rarer', async () => {
  const probes = await probesOfChanges(1600);
  const distances = probes.slice(1).map((at, index) => at - (probes[index] ?? 0));
  // After the first one within the longest wait, 100, 200, 400 and 800 ms apart at least.
  assert(probes.length >= 3 && probes.length <= 5, `${distances}`);
  for (const [index, distance] of distances.entries())
    assert(distance > pauses.betweenChangesMs * 2 ** index - 5, `${distances}`);
});

probe('in the background, a change is probed long before a failed probe would be repeated', async () => {
  let sent = 0;
  const background = new BackgroundProbes(
    async () => {
      sent++;
      return judgeProbe({ ...facts, portWaitedMs: null, report: null });
    },
    { ended: () => {}, changed: () => {} },
    { ...pauses, betweenRepairsMs: 60_000 },
  );
  background.request('k8s-br0');
  await until(() => sent === 1 && background.last('k8s-br0') !== null);
  background.requestAfterChange('k8s-br0');
  await until(() => sent === 2);
  background.stop();
});

probe('a host that no packet can be sent to is not reachable', async () => {
  // The kernel refuses to connect to a broadcast address.
  assert.equal(await isReachable('255.255.255.255'), false);
});

probe.run();
