import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { findDrop, parseCounters, renderCounters } from '../../src/diagnosis/probe/counters.ts';
import { judgeProbe, type ProbeFacts, unprobed } from '../../src/diagnosis/probe/judge.ts';
import type { Exchange } from '../../src/diagnosis/probe/protocol.ts';
import { BackgroundProbes } from '../../src/watcher/background-probes.ts';
import { ip, mac, network } from './builders.ts';

const probe = suite('probe');

const counting = {
  bridge: 'k8s-br0',
  mac: mac(1),
  ip: ip('192.168.100.254'),
  target: ip('203.0.113.2'),
};

probe('the table that counts has nothing traced but on the second look, and drops nothing', () => {
  const [plain, traced] = [renderCounters(counting, false), renderCounters(counting, true)];
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

const well: Exchange = {
  lease: { ip: '192.168.100.254' },
  dns: { addresses: ['192.168.100.254'] },
  upstream: 'answered',
  answered: true,
};

const facts: ProbeFacts = {
  bridge: 'k8s-br0',
  gateway: '192.168.100.1',
  ip: '192.168.100.254',
  told: true,
  waited: 2,
  exchange: well,
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
const noAnswer = { ...well, answered: false };
const policy = (family: string, table: string, chain: string) => ({ family, table, chain, rule: null });

/** What a probe met → a letter for the state of each stage, and what the first that is not right says and advises. */
const cases: [title: string, Partial<ProbeFacts>, states: string, seen?: RegExp, command?: RegExp | null][] =
  [
    ['all the way', {}, 'ooooooo'],
    [
      'a port that never forwards',
      { waited: null, exchange: null },
      'fssssss',
      /keeps a new port from forwarding/,
      /^bridge /,
    ],
    [
      'no server',
      { told: false, exchange: { ...well, lease: { silentAfter: 'DISCOVER' } } },
      'ofsssss',
      /DISCOVER: no dnsmasq/,
      /^virlan up$/,
    ],
    [
      'a server that is silent',
      { exchange: { ...well, lease: { silentAfter: 'REQUEST' } } },
      'ofsssss',
      /REQUEST.*though dnsmasq runs/,
      /^tcpdump/,
    ],
    [
      'a server that says no',
      { exchange: { ...well, lease: { nak: true } } },
      'ofsssss',
      /refuses/,
      /^tcpdump/,
    ],
    [
      'another address',
      { exchange: { ...well, lease: { ip: '10.0.0.9' }, dns: null } },
      'ofsoooo',
      /leased 10\.0\.0\.9 where .*254 was reserved/,
      /^tcpdump/,
    ],
    [
      'ufw against DHCP',
      {
        exchange: { ...well, lease: { silentAfter: 'DISCOVER' } },
        drops: { lease: policy('ip', 'filter', 'ufw-user-input') },
      },
      'ofsssss',
      /dropped by the policy of ip filter ufw-user-input/,
      /^ufw allow in on k8s-br0 to any port 67$/,
    ],
    [
      'a DNS that does not know it',
      { exchange: { ...well, dns: { addresses: ['10.0.0.1'] } } },
      'oofoooo',
      /does not know/,
      /^virlan up$/,
    ],
    [
      'no DNS',
      { exchange: { ...well, dns: { error: 'ETIMEOUT' }, upstream: 'ETIMEOUT' } },
      'oofooos',
      /does not answer a machine: ETIMEOUT/,
      /^ss /,
    ],
    [
      'no name server behind it',
      { exchange: { ...well, upstream: 'ESERVFAIL' } },
      'oooooow',
      /outside do not resolve \(ESERVFAIL\)/,
      /resolv\.conf/,
    ],
    [
      'no uplink',
      {
        uplink: { kind: 'unreachable', reason: 'Network is unreachable' },
        exchange: { ...well, answered: null },
      },
      'ooossso',
    ],
    [
      'an uplink without a next hop',
      { uplink: { kind: 'via', dev: 'ppp0', gateway: null }, exchange: { ...well, answered: null } },
      'ooossso',
    ],
    ['lost before the host', { exchange: noAnswer, counters: none }, 'ooofsso', /bridge family/, /^nft list/],
    [
      'lost within the host',
      { exchange: noAnswer, counters: { ...none, entered: 2 } },
      'ooofsso',
      /comes in by k8s-br0 and does not leave by eth0/,
      /^nft list/,
    ],
    [
      'firewalld against forwarding',
      { exchange: noAnswer, counters: none, drops: { out: policy('inet', 'firewalld', 'filter_FORWARD') } },
      'ooofsso',
      /policy of inet firewalld/,
      /^firewall-cmd --permanent --zone=libvirt --add-interface=k8s-br0 && firewall-cmd --reload$/,
    ],
    [
      'a policy of iptables against forwarding',
      { exchange: noAnswer, counters: none, drops: { out: policy('ip', 'filter', 'FORWARD') } },
      'ooofsso',
      /policy of ip filter FORWARD/,
      /^iptables -t filter -I FORWARD -i k8s-br0 -j ACCEPT && iptables -t filter -I FORWARD -o k8s-br0 -j ACCEPT$/,
    ],
    [
      'a policy of nftables against forwarding',
      { exchange: noAnswer, counters: none, drops: { out: policy('ip', 'corp', 'fw') } },
      'ooofsso',
      /policy of ip corp fw/,
      /^nft insert rule ip corp fw iifname k8s-br0 accept && nft insert rule ip corp fw oifname k8s-br0 accept$/,
    ],
    [
      'ufw against forwarding',
      { exchange: noAnswer, counters: none, drops: { out: policy('ip', 'filter', 'ufw-reject-forward') } },
      'ooofsso',
      /ufw/,
      /^ufw route allow in on k8s-br0$/,
    ],
    [
      'a hostile name of a chain',
      { exchange: noAnswer, counters: none, drops: { out: policy('ip', '$(reboot)', 'x') } },
      'ooofsso',
      /policy of ip \$\(reboot\) x/,
      null,
    ],
    [
      'not masqueraded',
      { counters: { ...none, entered: 2, plain: 2 } },
      'oooofso',
      /own address/,
      /^nft list/,
    ],
    [
      'answered to the host alone',
      { exchange: noAnswer, counters: { ...none, masqueraded: 2 }, hostAnswered: true },
      'ooooofo',
      /answers this host, and not/,
      /^tcpdump -ni eth0 host 203/,
    ],
    [
      'answered to nobody',
      { exchange: noAnswer, counters: { ...none, masqueraded: 2 }, hostAnswered: false },
      'ooooooo',
    ],
    [
      'an answer lost within the host',
      { exchange: noAnswer },
      'ooooofo',
      /the answer is lost on this host/,
      /^nft list/,
    ],
    [
      'an answer dropped',
      { exchange: noAnswer, drops: { back: { family: 'inet', table: 't', chain: 'c', rule: 'drop' } } },
      'ooooofo',
      /answer of 203.* a rule of inet t c: drop/,
      /^nft insert rule inet t c oifname k8s-br0 accept$/,
    ],
    ['no nft', { counters: null }, 'ooossoo'],
    ['no nft and no answer', { counters: null, exchange: noAnswer }, 'ooosswo', /no nft to see why/],
  ];

for (const [title, found, states, seen, command] of cases) {
  probe(title, () => {
    const findings = judgeProbe({ ...facts, ...found });
    assert.deepEqual(
      findings.map(({ check }) => check),
      stages,
    );
    assert.equal(findings.map(({ state }) => state[0]).join(''), states);
    const first = findings.find(({ state }) => state === 'fail' || state === 'warn');
    assert.match(first?.seen ?? '', seen ?? /^$/);
    if (command === null) assert.equal(first?.fix, null);
    else assert.match(first?.fix?.command ?? '', command ?? /^$/);
  });
}

probe('one that could not be sent says why at each stage', () => {
  const findings = unprobed('no room');
  assert.deepEqual(
    findings.map(({ check }) => check),
    stages,
  );
  assert(findings.every(({ state, seen }) => state === 'skipped' && seen === 'no room'));
});

const resting = { settle: 5, between: 200 };

/** Resolves when the condition holds. What the timers do, no event tells. */
async function until(condition: () => boolean): Promise<void> {
  for (const end = performance.now() + 5000; !condition(); ) {
    if (performance.now() > end) throw new Error(`not so after 5 s: ${condition}`);
    await new Promise(resolve => setTimeout(resolve, 1));
  }
}

probe('in the background, many requests make one probe, and those that follow keep a distance', async () => {
  const began: number[] = [];
  const told: (boolean | null)[] = [];
  const background = new BackgroundProbes(
    async () => {
      began.push(performance.now());
      // A stage that is skipped does not make the others fail.
      const uplink = { kind: 'unreachable', reason: 'Network is unreachable' } as const;
      return judgeProbe({ ...facts, uplink, exchange: { ...well, answered: null } });
    },
    (_, { passed }) => told.push(passed),
    resting,
  );
  for (let count = 0; count < 5; count++) background.request(network());
  await until(() => began.length === 1 && background.last('k8s-br0') !== null);
  assert.equal(background.last('k8s-br0')?.passed, true);
  assert.equal(background.last('lab'), null);
  for (let count = 0; count < 5; count++) background.request(network());
  await until(() => began.length === 2);
  // The first may be noted late on a busy machine; without the rest, it would be `settle` alone.
  assert((began[1] ?? 0) - (began[0] ?? 0) > resting.between / 2);
  // The same result is told of once.
  assert.deepEqual(told, [true]);
});

probe(
  'in the background, one that failed is tried again; one that was not sent, or was stopped, is not',
  async () => {
    const failing = judgeProbe({ ...facts, waited: null, exchange: null });
    const results = [failing, failing, unprobed('no room')];
    const told: string[] = [];
    let left = results.length;
    const background = new BackgroundProbes(
      async () => results[results.length - left--] ?? [],
      (_, { passed, seen }) => told.push(`${passed} ${seen}`),
      resting,
    );
    background.request(network());
    await until(() => left === 0 && told.length === 2);
    assert.match(told[0] ?? '', /^false k8s-br0 keeps a new port/);
    assert.equal(told[1], 'null no room');
    background.stop();
    background.request(network());
    await new Promise(resolve => setTimeout(resolve, 2 * resting.between));
    assert.equal(left, 0);
  },
);

probe.run();
