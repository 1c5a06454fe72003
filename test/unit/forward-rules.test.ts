// forward-rules.test.ts: tests how rules of other programs that drop packets of forwards are found.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import { makeBaseChains } from '../../src/other-firewalls/base-chains.ts';
import { commandAgainstDrop, forwardDropText } from '../../src/other-firewalls/forward-rule-text.ts';
import { type ActiveForward, judgeForwards, judgeTakings } from '../../src/other-firewalls/forward-rules.ts';
import { readHeardQueues } from '../../src/other-firewalls/queues.ts';
import { ip } from './builders.ts';

const drops = suite('forward drops');

const machine = ip('192.168.100.7');
const web: ActiveForward = {
  forward: { protocol: 'tcp', first: 8443, last: 8443, to: 443, address: null, from: null },
  ip: machine,
};

/** Returns each rule that drops packets, as `WAY CHAIN: RULE`. */
function droppedBy({ nft = '', saved = '', hidden = '' }, ...forwards: readonly ActiveForward[]): string[] {
  const active = forwards.length === 0 ? [web] : forwards;
  return judgeForwards(makeBaseChains({ nft, saved, hidden }).ofPackets, 'k8s-br0', active, 'eth0').map(
    ({ way, chain, rule }) => `${way} ${chain}: ${rule}`,
  );
}

/** Returns the listing of a table of iptables with these rules. */
function listing(rules: readonly string[], table = 'filter'): string {
  const [first, second] = table === 'raw' ? ['PREROUTING', 'OUTPUT'] : ['FORWARD', 'INPUT'];
  const own = [`:${first} ACCEPT [0:0]`, `:${second} ACCEPT [0:0]`, ':corp - [0:0]'];
  return [`*${table}`, ...own, ...rules.map(rule => `-A ${rule}`), 'COMMIT', ''].join('\n');
}

const hits = [
  '-j DROP',
  '-i eth0 -j DROP',
  '-i eth+ -o k8s+ -j REJECT --reject-with icmp-port-unreachable',
  '-d 192.168.100.0/24 -p tcp -m tcp --dport 443 -j DROP',
  '-p tcp -m multiport --dports 80,440:450 -m comment --comment "a -j ACCEPT b" -j DROP',
  '! -s 10.0.0.0/8 ! -i k8s-br0 -j DROP',
  '-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP',
  '-m conntrack --ctstate INVALID,NEW -j DROP',
  '-m conntrack --ctorigdstport 8443 --ctdir ORIGINAL -j DROP',
];

drops(
  'a rule of iptables that certainly means a packet of a forward is found, by any of its conditions',
  () => {
    for (const rule of hits) {
      const saved = listing([`FORWARD ${rule}`]);
      assert.equal(droppedBy({ saved })[0], `forwarded FORWARD: ${rule}`);
      assert.equal(droppedBy({ hidden: saved })[0], `forwarded FORWARD: ${rule}`);
      assert.equal(
        droppedBy({ saved: listing([`FORWARD -j corp`, `corp ${rule}`]) })[0],
        `forwarded corp: ${rule}`,
      );
    }
  },
);

/** Returns the rules of iptables' table nat that lead the port of a forward elsewhere, as `CHAIN: RULE`. */
function takenBy(rules: readonly string[], active = web): string[] {
  const chains = ['PREROUTING', 'OUTPUT'].map(name => `:${name} ACCEPT [0:0]`);
  const others = ['DOCKER', 'KUBE-SVC', 'VIRLAN-DNAT-k8s-br0'].map(name => `:${name} - [0:0]`);
  const saved = ['*nat', ...chains, ...others, ...rules.map(rule => `-A ${rule}`), 'COMMIT', ''].join('\n');
  return judgeTakings(makeBaseChains({ saved }).ofPackets, 'k8s-br0', [active], 'eth0').map(
    ({ chain, rule }) => `${chain}: ${rule}`,
  );
}

drops('a rule of another program that leads the port of a forward elsewhere is found', () => {
  const local = 'PREROUTING -m addrtype --dst-type LOCAL -j';
  const docker = '! -i docker0 -p tcp -m tcp --dport 8443 -j DNAT --to-destination 172.17.0.2:443';
  assert.deepEqual(takenBy([`${local} DOCKER`, `DOCKER ${docker}`]), [`DOCKER: ${docker}`]);
  for (const rule of [
    '-p tcp -m tcp --dport 8000:9000 -j REDIRECT --to-ports 80',
    '-i eth0 -p tcp -m multiport --dports 443,8443 -j DNAT --to-destination 10.0.0.2',
  ])
    assert.deepEqual(takenBy([`PREROUTING ${rule}`]), [`PREROUTING: ${rule}`]);
  const none = [
    ['PREROUTING -p tcp -m tcp --dport 8444 -j DNAT --to-destination 172.17.0.2:443'],
    ['PREROUTING -p udp -m udp --dport 8443 -j DNAT --to-destination 172.17.0.2:443'],
    ['PREROUTING -i k8s-br0 -p tcp -m tcp --dport 8443 -j REDIRECT --to-ports 80'],
    // It is for one of the host's addresses, or for some clients.
    ['PREROUTING -d 192.0.2.9/32 -p tcp -m tcp --dport 8443 -j DNAT --to-destination 172.17.0.2:443'],
    [
      `${local} KUBE-SVC`,
      'KUBE-SVC -m statistic --mode random --probability 0.5 -j DNAT --to-destination 10.1.0.2:80',
    ],
    ['PREROUTING -p tcp -m tcp --dport 8443 -j RETURN', `PREROUTING ${docker}`],
    // virlan's comes first.
    [`${local} VIRLAN-DNAT-k8s-br0`, `VIRLAN-DNAT-k8s-br0 ${docker}`, `PREROUTING ${docker}`],
    ['OUTPUT -p tcp -m tcp --dport 8443 -j REDIRECT --to-ports 80'],
  ];
  for (const rules of none) assert.deepEqual(takenBy(rules), [], rules.join(', '));
  const onAddress = { ...web, forward: { ...web.forward, address: ip('192.0.2.9') } };
  assert.equal(takenBy(none[3] ?? [], onAddress).length, 1);
});

/** Returns the handles of rules of a chain of nftables that lead the port of a forward elsewhere. */
function takenByNft(
  expr: readonly unknown[],
  chain: Readonly<Record<string, unknown>> = {},
): (string | null)[] {
  const table = { family: 'ip', table: 'corp' };
  const base = {
    ...table,
    name: 'pre',
    type: 'nat',
    hook: 'prerouting',
    prio: -100,
    policy: 'accept',
    ...chain,
  };
  const nftables = [
    { table: { family: 'ip', name: 'corp' } },
    { chain: base },
    { rule: { ...table, chain: 'pre', handle: 7, expr } },
  ];
  return judgeTakings(
    makeBaseChains({ nft: JSON.stringify({ nftables }) }).ofPackets,
    'k8s-br0',
    [web],
    'eth0',
  ).map(({ rule }) => rule);
}

drops('a rule that keeps connections to a forward from being tracked takes its port', () => {
  const match = '-p tcp -m tcp --dport 8443';
  for (const [rule, isTaken] of [
    [`${match} -j NOTRACK`, true],
    [`${match} -j CT --notrack`, true],
    [`${match} -j CT --helper ftp`, false],
    ['-p tcp -m tcp --dport 8444 -j NOTRACK', false],
  ] as const) {
    const bases = makeBaseChains({ saved: listing([`PREROUTING ${rule}`], 'raw') }).ofPackets;
    const found = judgeTakings(bases, 'k8s-br0', [web], 'eth0').map(({ effect }) => effect);
    assert.deepEqual(found, isTaken ? ['untrack'] : [], rule);
  }
  const dport = { payload: { protocol: 'tcp', field: 'dport' } };
  const expr = [{ match: { op: '==', left: dport, right: 8443 } }, { notrack: null }];
  assert.deepEqual(takenByNft(expr, { type: 'filter', prio: -300 }), ['7']);
  assert.deepEqual(takenByNft(expr, { type: 'filter', prio: 0 }), [], 'its connection is tracked by then');
});

drops('a rule of nftables takes the port of a forward where it translates before virlan, for certain', () => {
  const dport = { payload: { protocol: 'tcp', field: 'dport' } };
  const match = { match: { op: '==', left: dport, right: 8443 } };
  const dnat = { dnat: { addr: '172.17.0.2', port: 443 } };
  assert.deepEqual(takenByNft([match, dnat]), ['7']);
  assert.deepEqual(takenByNft([match, { redirect: { port: 80 } }]), ['7']);
  assert.deepEqual(takenByNft([match, dnat], { prio: -110 }), ['7']);
  const ports = { map: { key: dport, data: { set: [[9000, '172.17.0.2']] } } };
  for (const [expr, chain] of [
    // The map does not have the port.
    [[{ dnat: { addr: ports } }], {}],
    [[match, { dnat: { family: 'ip6', addr: '2001:db8::1' } }], {}],
    [[match, { masquerade: null }], {}],
    [[match, dnat], { prio: -90 }],
    [[match, dnat], { hook: 'output' }],
    [[match, { return: null }, dnat], {}],
  ] as const)
    assert.deepEqual(takenByNft(expr, chain), [], JSON.stringify([expr, chain]));
});

drops('a rule of virlan itself is named with the keys that decide, and no command changes it', () => {
  const own = [':FORWARD ACCEPT [0:0]', ':VIRLAN-FWD-k8s-br0 - [0:0]', '-A FORWARD -j VIRLAN-FWD-k8s-br0'];
  const saved = ['*filter', ...own, '-A VIRLAN-FWD-k8s-br0 -o k8s-br0 -j DROP', 'COMMIT', ''].join('\n');
  const nft = JSON.stringify({
    nftables: [
      { table: { family: 'ip', name: 'virlan-k8s-br0' } },
      {
        chain: {
          family: 'ip',
          table: 'virlan-k8s-br0',
          name: 'forward',
          hook: 'forward',
          prio: 0,
          policy: 'accept',
        },
      },
      {
        rule: {
          family: 'ip',
          table: 'virlan-k8s-br0',
          chain: 'forward',
          handle: 4,
          expr: [
            { match: { op: '==', left: { meta: { key: 'oifname' } }, right: 'k8s-br0' } },
            { drop: null },
          ],
        },
      },
    ],
  });
  for (const bases of [makeBaseChains({ saved }).ofPackets, makeBaseChains({ nft }).ofPackets]) {
    const [drop = assert.fail()] = judgeForwards(bases, 'k8s-br0', [web], 'eth0');
    assert.match(forwardDropText(drop), /virlan's own: mode, outside, uplink and reaches/);
    assert.equal(commandAgainstDrop(drop), null);
  }
});

drops('a rule that means other packets, or perhaps none of a forward, is not', () => {
  for (const rule of [
    '-i k8s-br0 -o eth0 -j LOG --log-prefix "x -j DROP"',
    '-i wlan0 -j DROP',
    '-p udp -j DROP',
    '-p tcp -m tcp --dport 8443 -j DROP',
    '-s 198.51.100.0/24 -j DROP',
    '-m conntrack --ctstate INVALID -j DROP',
    '-p tcp -m tcp --tcp-flags SYN,ACK ACK -j DROP',
    '-m limit --limit 1/sec -j DROP',
    '-m set --match-set blocked src -j DROP',
    '-m mark --mark 0x1 -j DROP',
    '-j RETURN',
    '-j MARK --set-xmark 0x1/0xffffffff',
  ])
    assert.deepEqual(droppedBy({ saved: listing([`FORWARD ${rule}`, `corp -j DROP`]) }), [], rule);
});

drops('a rule before it that accepts, returns or may do so decides', () => {
  const after = ['FORWARD -j DROP'];
  for (const before of [
    ['FORWARD -j ACCEPT'],
    ['FORWARD -m conntrack --ctstate DNAT -j ACCEPT'],
    ['FORWARD -j corp', 'corp -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT'],
    ['FORWARD -m mark --mark 0x1 -j ACCEPT'],
    ['FORWARD -g corp', 'corp -i lo -j DROP'],
    ['FORWARD -j NFQUEUE --queue-num 0'],
  ])
    assert.deepEqual(droppedBy({ saved: listing([...before, ...after]) }), [], String(before));
  for (const before of [
    ['FORWARD -s 10.0.0.0/8 -j ACCEPT'],
    ['FORWARD -j corp', 'corp -j RETURN', 'corp -j ACCEPT'],
    ['FORWARD -p tcp -m tcp --dport 80 -j ACCEPT'],
    ['FORWARD -j none'],
  ])
    assert.equal(droppedBy({ saved: listing([...before, ...after]) }).length, 2, String(before));
  // A chain that jumps to itself, which no program can load.
  assert.deepEqual(droppedBy({ saved: listing(['FORWARD -j corp', 'corp -j corp', ...after]) }), []);
});

drops('a rule that queues packets drops them where no program takes them', () => {
  const heard = readHeardQueues({
    readFile: path =>
      path === '/proc/net/netfilter/nfnetlink_queue'
        ? '    8  28612     0 2 65531     0     0        0  1\n   20  28613     0 2 65531     0     0        0  1\n'
        : null,
  });
  const ruleIn = (chain: string, rest: object) => ({ rule: { family: 'inet', table: 't', chain, ...rest } });
  const nftOf = (queue: unknown) =>
    JSON.stringify({
      nftables: [
        { table: { family: 'inet', name: 't' } },
        { chain: { family: 'inet', table: 't', name: 'f', type: 'filter', hook: 'forward', prio: 0 } },
        ruleIn('f', { handle: 1, expr: [{ queue }] }),
      ],
    });
  for (const [option, queue, isDropped] of [
    ['--queue-num 7', { num: 7 }, true],
    ['--queue-num 0', null, true],
    ['--queue-balance 9:19', { num: { range: [9, 19] } }, true],
    ['--queue-num 7 --queue-bypass', { num: 7, flags: 'bypass' }, false],
    ['--queue-balance 6:7 --queue-bypass', { num: { range: [6, 7] }, flags: ['bypass', 'fanout'] }, false],
    ['--queue-num 8', { num: 8 }, false],
    ['--queue-balance 19:21', { num: { range: [19, 21] } }, false],
    ['--queue-num 8', { num: { map: { key: 'x', data: 'y' } } }, false],
  ] as const) {
    const saved = listing([`FORWARD -j NFQUEUE ${option}`]);
    for (const bases of [
      makeBaseChains({ saved }, heard).ofPackets,
      makeBaseChains({ nft: nftOf(queue) }, heard).ofPackets,
    ]) {
      const found = judgeForwards(bases, 'k8s-br0', [web], 'eth0').map(({ way }) => way);
      assert.deepEqual(found, isDropped ? ['forwarded', 'answering'] : [], option);
    }
    const unknown = judgeForwards(makeBaseChains({ saved }).ofPackets, 'k8s-br0', [web], 'eth0');
    assert.deepEqual(unknown, [], option);
  }
  const nowhere = readHeardQueues({ readFile: () => null });
  assert.equal(nowhere(0, 65_535), false);
});

drops('answers are looked at, and packets before they are translated', () => {
  const rules = ['FORWARD -s 192.168.100.7/32 -p tcp -m tcp --sport 443 -j DROP'];
  assert.deepEqual(droppedBy({ saved: listing(rules) }), [
    'answering FORWARD: -s 192.168.100.7/32 -p tcp -m tcp --sport 443 -j DROP',
  ]);
  const early = (rule: string) => droppedBy({ saved: listing([`PREROUTING ${rule}`], 'raw') });
  assert.deepEqual(early('-i eth0 -p tcp -m tcp --dport 8443 -j DROP'), [
    'arriving PREROUTING: -i eth0 -p tcp -m tcp --dport 8443 -j DROP',
  ]);
  assert.deepEqual(early('-i eth0 -p tcp -m tcp --dport 443 -j DROP'), []);
});

drops('the first and the last port of a range are looked at, and the clients of a forward', () => {
  const range: ActiveForward = {
    forward: {
      ...web.forward,
      first: 30_000,
      last: 30_010,
      to: 40_000,
      from: { network: ip('10.0.0.0'), length: 8 },
    },
    ip: machine,
  };
  const of = (rule: string) => droppedBy({ saved: listing([`FORWARD ${rule}`]) }, range).length;
  assert.deepEqual(
    [
      '-p tcp -m tcp --dport 40010 -j DROP',
      '-p tcp -m tcp --dport 40011 -j DROP',
      '-s 10.0.0.0/9 -j DROP',
    ].map(of),
    [1, 0, 1],
  );
  // Each rule is named one time.
  assert.equal(droppedBy({ saved: listing(['FORWARD -i eth0 -j DROP']) }, web, range, web).length, 1);
});

type Expression = readonly object[];
const match = (op: string, left: object, right: unknown) => ({ match: { op, left, right } });
const meta = (key: string) => ({ meta: { key } });
const payload = (protocol: string, field: string) => ({ payload: { protocol, field } });
const ct = (key: string) => ({ ct: { key } });
const dropped = { drop: null };

/** Returns the listing of `nft --json list ruleset` with these rules, as nft 1.0.6 prints it. */
function ruleset(rules: readonly Expression[], table = 'corp', sub: readonly Expression[] = []): string {
  const chain = (name: string) => ({ family: 'inet', table, name });
  const rule = (name: string, from: number) => (expr: Expression, index: number) => ({
    rule: { family: 'inet', table, chain: name, handle: from + index, expr },
  });
  return JSON.stringify({
    nftables: [
      { metainfo: {} },
      { table: { family: 'inet', name: table, handle: 1 } },
      { set: { family: 'inet', table, name: 'blocked', elem: [80, { range: [440, 450] }] } },
      { map: { family: 'inet', table, name: 'acts', elem: [[443, dropped]] } },
      { chain: { ...chain('f'), type: 'filter', hook: 'forward', prio: 5, policy: 'accept' } },
      { chain: chain('sub') },
      ...rules.map(rule('f', 10)),
      ...sub.map(rule('sub', 20)),
    ],
  });
}

const port = payload('tcp', 'dport');
const states = {
  set: [
    ['invalid', dropped],
    ['new', { jump: { target: 'sub' } }],
  ],
};

drops(
  'a rule of nftables that certainly means a packet of a forward is found, by any of its conditions',
  () => {
    for (const expr of [
      [dropped],
      [{ counter: null }, { log: { prefix: 'x' } }, { reject: { type: 'icmpx', expr: 'host-unreachable' } }],
      [match('==', meta('iifname'), 'eth*'), match('==', meta('oif'), 'k8s-br0'), dropped],
      [match('==', port, '@blocked'), dropped],
      [match('!=', port, { set: [22, 80] }), dropped],
      [match('<', port, 1024), dropped],
      [match('>=', port, 443), dropped],
      [match('==', payload('th', 'dport'), { range: [1, 1023] }), dropped],
      [match('in', ct('state'), ['invalid', 'new']), dropped],
      [match('!=', ct('state'), 'established'), dropped],
      [match('in', ct('status'), 'dnat'), dropped],
      [match('==', { ct: { key: 'proto-dst', dir: 'original' } }, 8443), dropped],
      [match('==', payload('ip', 'daddr'), { prefix: { addr: '192.168.100.0', len: 24 } }), dropped],
      [match('!=', payload('ip', 'saddr'), { set: [{ range: ['10.0.0.1', '10.0.0.9'] }] }), dropped],
      [match('==', { '&': [payload('tcp', 'flags'), ['syn', 'ack']] }, 'syn'), dropped],
      [
        match(
          '==',
          { concat: [payload('ip', 'daddr'), port] },
          { set: [{ concat: ['192.168.100.7', 443] }] },
        ),
        dropped,
      ],
      [{ vmap: { key: port, data: '@acts' } }],
    ])
      assert.equal(droppedBy({ nft: ruleset([expr]) })[0], 'forwarded f: 10', JSON.stringify(expr));
    assert.deepEqual(
      droppedBy({ nft: ruleset([[{ vmap: { key: ct('state'), data: states } }]], 'corp', [[dropped]]) }),
      ['forwarded sub: 20'],
    );
  },
);

drops(
  "each chain on the way judges the packets as it sees them, with the host's address or the machine's",
  () => {
    const toHost = [match('==', port, 8443), dropped];
    const toMachine = [match('==', port, 443), dropped];
    const fromMachine = [match('==', payload('tcp', 'sport'), 443), dropped];
    const fromHost = [match('==', payload('tcp', 'sport'), 8443), dropped];
    const at = (type: string, hook: string, prio: number, expr: Expression) => {
      const family = hook === 'ingress' || hook === 'egress' ? 'netdev' : 'ip';
      const place = { family, table: 'corp' };
      const nft = JSON.stringify({
        nftables: [
          { table: { family, name: 'corp' } },
          { chain: { ...place, name: 'f', type, hook, prio, policy: 'accept' } },
          { rule: { ...place, chain: 'f', handle: 10, expr } },
        ],
      });
      const devices = `table netdev corp {\n\tchain f {\n\t\ttype filter hook ${hook} device "eth0" priority filter; policy accept;\n\t}\n}\n`;
      const found = judgeForwards(makeBaseChains({ nft, devices }).ofPackets, 'k8s-br0', [web], 'eth0');
      return found.map(drop => `${drop.way}: ${commandAgainstDrop(drop)}`);
    };
    const cases: [type: string, hook: string, prio: number, expr: Expression, way: string | null][] = [
      ['filter', 'ingress', 0, toHost, 'arriving: nft insert rule netdev corp f tcp dport 8443 accept'],
      ['filter', 'prerouting', -300, toHost, 'arriving: nft insert rule ip corp f tcp dport 8443 accept'],
      ['filter', 'prerouting', -300, toMachine, null],
      [
        'filter',
        'prerouting',
        -150,
        fromMachine,
        'answering: nft insert rule ip corp f iifname k8s-br0 ip saddr 192.168.100.7 tcp sport 443 accept',
      ],
      [
        'filter',
        'prerouting',
        -50,
        toMachine,
        'forwarded: nft insert rule ip corp f ip daddr 192.168.100.7 tcp dport 443 accept',
      ],
      ['filter', 'prerouting', -50, toHost, null],
      ['filter', 'prerouting', -100, toHost, null],
      ['nat', 'prerouting', -110, toHost, 'arriving: nft insert rule ip corp f tcp dport 8443 accept'],
      ['nat', 'prerouting', -90, toMachine, null],
      [
        'filter',
        'postrouting',
        0,
        toMachine,
        'forwarded: nft insert rule ip corp f oifname k8s-br0 ip daddr 192.168.100.7 tcp dport 443 accept',
      ],
      [
        'nat',
        'postrouting',
        90,
        toMachine,
        'forwarded: nft insert rule ip corp f oifname k8s-br0 ip daddr 192.168.100.7 tcp dport 443 accept',
      ],
      ['nat', 'postrouting', 90, fromMachine, null],
      [
        'filter',
        'postrouting',
        0,
        fromMachine,
        'answering: nft insert rule ip corp f ip saddr 192.168.100.7 tcp sport 443 accept',
      ],
      ['filter', 'postrouting', 150, fromMachine, null],
      ['filter', 'postrouting', 150, fromHost, 'answered: nft insert rule ip corp f tcp sport 8443 accept'],
      ['filter', 'egress', 0, fromHost, 'answered: nft insert rule netdev corp f tcp sport 8443 accept'],
      ['filter', 'egress', 0, fromMachine, null],
    ];
    for (const [type, hook, prio, expr, way] of cases)
      assert.deepEqual(at(type, hook, prio, expr), way === null ? [] : [way], `${type} ${hook} ${prio}`);
  },
);

drops('other rules of nftables are not', () => {
  for (const expr of [
    [match('==', meta('iifname'), 'wlan0'), dropped],
    [match('==', meta('l4proto'), 'udp'), dropped],
    [match('!=', payload('udp', 'dport'), 53), dropped],
    [match('==', port, 8443), dropped],
    [match('==', port, '@unknown'), dropped],
    [match('>', port, 60_000), dropped],
    [match('==', meta('mark'), 1), dropped],
    [match('==', { fib: { result: 'oif' } }, false), dropped],
    [match('==', payload('ip6', 'saddr'), '::1'), dropped],
    [{ limit: { rate: 1 } }, dropped],
    [
      { set: { op: 'add', elem: payload('ip', 'saddr'), set: '@seen', stmt: [{ limit: { rate: 1 } }] } },
      dropped,
    ],
    [{ xt: { type: 'match', name: 'x' } }, dropped],
    [{ vmap: { key: payload('udp', 'dport'), data: '@acts' } }],
    [{ jump: { target: 'nowhere' } }],
    [{ counter: null }],
    [],
  ])
    assert.deepEqual(droppedBy({ nft: ruleset([expr]) }), [], JSON.stringify(expr));
  const accepted = [match('in', ct('status'), 'dnat'), { accept: null }];
  assert.deepEqual(droppedBy({ nft: ruleset([accepted, [dropped]]) }), []);
});

/** The output of nft 1.0.6 for a table `inet six` with rules for IPv6 alone, and a table `ip6 filter`. */
const listedIpv6: {
  readonly nftables: readonly { readonly rule?: { readonly chain: string; readonly expr: Expression } }[];
} = JSON.parse(readFileSync('test/unit/fixtures/nft-ipv6.json', 'utf8'));

drops('rules for IPv6 in a table of both families decide nothing about a forward, which is IPv4', () => {
  const ofIpv6 = listedIpv6.nftables.flatMap(({ rule }) => (rule?.chain === 'forward' ? [rule.expr] : []));
  assert.equal(ofIpv6.length, 25);
  assert.deepEqual(droppedBy({ nft: JSON.stringify(listedIpv6) }), []);
  for (const expr of ofIpv6.filter(each => JSON.stringify(each.at(-1)) === JSON.stringify(dropped))) {
    assert.deepEqual(droppedBy({ nft: ruleset([expr]) }), [], JSON.stringify(expr));
    // It is not only unclear: if it accepts, a rule after it still drops.
    const accepting = ruleset([[...expr.slice(0, -1), { accept: null }], [dropped]]);
    assert.deepEqual(
      droppedBy({ nft: accepting }),
      ['forwarded f: 11', 'answering f: 11'],
      JSON.stringify(expr),
    );
  }
  // The same conditions for IPv4.
  const ofBoth = JSON.parse(
    JSON.stringify(ofIpv6).replaceAll('"ipv6"', '"ipv4"').replaceAll('"ip6"', '"ip"'),
  );
  const found = ofBoth.filter((expr: Expression) => droppedBy({ nft: ruleset([expr]) }).length > 0);
  assert.equal(found.length, 7);
});

drops('of a table that iptables shows, nft’s listing is not read', () => {
  const nft = ruleset([[dropped]], 'filter').replaceAll('"inet"', '"ip"');
  assert.deepEqual(droppedBy({ nft, saved: listing(['FORWARD -p udp -j DROP']) }), []);
  assert.equal(droppedBy({ nft }).length, 2);
});

drops('listings of unknown form have no rules', () => {
  for (const nft of ['', '{}', '[]', 'null', '{"nftables":[null,{"table":null},{"rule":7},{"chain":[]}]}'])
    assert.deepEqual(droppedBy({ nft, saved: '-A FORWARD -j DROP\n*filter\n-A X\n' }), []);
});

drops.run();
