// other-firewalls.test.ts: tests which rules virlan needs and finds in the firewalls of other programs.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { suite } from 'uvu';
import { parseNftChains, parseSavedChains, savedLines } from '../../src/other-firewalls/chains.ts';
import { firewalld as firewalldOwner, zoneFile, zoneName } from '../../src/other-firewalls/firewalld.ts';
import {
  type Chain,
  isSameChain,
  type OtherFirewallsReading,
  type RuleOf,
  type RulesByFirewall,
} from '../../src/other-firewalls/model.ts';
import { parseNftTables } from '../../src/other-firewalls/nft-rules.ts';
import {
  describeRules,
  foundRules,
  presentFirewalls,
  wantedRules,
} from '../../src/other-firewalls/registry.ts';
import { parseSavedRules } from '../../src/other-firewalls/saved-rules.ts';
import { ufwArguments, withoutTuples } from '../../src/other-firewalls/ufw.ts';
import { acceptsMachines, proposedCommand, unknownChains } from '../../src/other-firewalls/unknown-chains.ts';
import { warningText } from '../../src/report/warning-text.ts';
import type { System } from '../../src/system/system.ts';
import { config, network, noFirewalls, rulesetOf } from './builders.ts';

const others = suite('other firewalls');

const bridge = 'k8s-br0';
const comment = Buffer.from('virlan-k8s-br0').toString('hex');

function chain(name: string, policy: string | null = null, more: Partial<Chain> = {}): Chain {
  return {
    family: 'ip',
    table: 'filter',
    name,
    hook: policy === null ? null : name.toLowerCase(),
    policy,
    ...more,
  };
}

const docker: OtherFirewallsReading = {
  ...noFirewalls,
  chains: [chain('FORWARD', 'drop'), chain('DOCKER-USER')],
  iptables: [':FORWARD DROP [0:0]', '-A FORWARD -j DOCKER-USER', '-A DOCKER-USER -j RETURN'],
};
const dockerRules = [
  '-A DOCKER-USER -i k8s-br0 -o k8s-br0 -m comment --comment virlan-k8s-br0 -j ACCEPT',
  '-A DOCKER-USER -d 192.168.100.0/24 -o k8s-br0 -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment virlan-k8s-br0 -j ACCEPT',
  '-A DOCKER-USER -d 192.168.100.0/24 -o k8s-br0 -m conntrack --ctstate DNAT -m comment --comment virlan-k8s-br0 -j ACCEPT',
  '-A DOCKER-USER -s 192.168.100.0/24 -i k8s-br0 -m comment --comment virlan-k8s-br0 -j ACCEPT',
];
const dockerJump = '-A FORWARD -m comment --comment virlan-k8s-br0 -j DOCKER-USER';

function ufw(rules: string, ...iptables: string[]): OtherFirewallsReading {
  return {
    ...noFirewalls,
    chains: [
      chain('FORWARD', 'drop'),
      chain('INPUT', 'drop'),
      chain('ufw-before-forward'),
      chain('ufw-before-input'),
    ],
    iptables,
    ufw: { enabled: true, rules },
  };
}

const ufwLoaded = [
  '-A FORWARD -j ufw-before-forward',
  '-A INPUT -j ufw-before-input',
  '-A ufw-before-forward -j ufw-user-forward',
];

function firewalld(found: Partial<NonNullable<OtherFirewallsReading['firewalld']>>, runs = true) {
  return {
    ...noFirewalls,
    chains: runs
      ? [chain('filter_INPUT', 'accept', { family: 'inet', table: 'firewalld', hook: 'input' })]
      : [],
    firewalld: { zoneFile: null, claimedBy: null, zone: runs ? '' : null, ...found },
  };
}

function wanted(found: OtherFirewallsReading, ...lines: string[]) {
  return wantedRules(rulesetOf(network(...lines)), 'nftables', found);
}

/** Returns rules as texts: that of a rule or tuple, or `reload`. */
function rulesOf(rules: readonly (RuleOf<'ufw'> | RuleOf<'docker'>)[]): string[] {
  return rules.map(ruleText);
}

function ruleText(rule: RuleOf<'ufw'>): string {
  switch (rule.kind) {
    case 'iptables-rule':
      return rule.rule;
    case 'tuple':
      return rule.tuple;
    case 'reload':
      return rule.kind;
  }
}

others('a host without other firewalls needs no rules', () => {
  assert.deepEqual(wanted(noFirewalls), { docker: [], ufw: [], firewalld: [] });
  assert.deepEqual(presentFirewalls(noFirewalls), []);
});

others('Docker: accept rules in DOCKER-USER, and a jump to it if that was flushed', () => {
  assert.deepEqual(presentFirewalls(docker), ['docker']);
  assert.deepEqual(rulesOf(wanted(docker).docker), dockerRules);
  const flushed = { ...docker, iptables: [':FORWARD DROP [0:0]'] };
  assert.deepEqual(rulesOf(wanted(flushed).docker), [dockerJump, ...dockerRules]);
  const loaded = { ...docker, iptables: [...docker.iptables, dockerJump, ...dockerRules] };
  assert.deepEqual(rulesOf(foundRules(bridge, loaded).docker), [dockerJump, ...dockerRules]);
  assert.deepEqual(
    rulesOf(wanted(loaded).docker),
    dockerRules,
    'the jump of Docker makes that of virlan unnecessary',
  );
});

others('Docker: accept rules in FORWARD if firewalld removed its chains and kept its drop policy', () => {
  const withoutChains = { ...noFirewalls, chains: [chain('FORWARD', 'drop')], docker: { hasRun: true } };
  const rules = dockerRules.map(rule => rule.replace('DOCKER-USER', 'FORWARD'));
  assert.deepEqual(rulesOf(wanted(withoutChains).docker), rules);
  assert.deepEqual(rulesOf(foundRules(bridge, { ...withoutChains, iptables: rules }).docker), rules);
  assert.deepEqual(unknownChains('nftables', withoutChains), []);
  assert.deepEqual(wanted({ ...withoutChains, chains: [chain('FORWARD', 'accept')] }).docker, []);
  assert.deepEqual(
    wanted({ ...withoutChains, docker: { hasRun: false } }).docker,
    [],
    'the policy is not that of Docker',
  );
});

others('Docker: rules without virlan’s mark, or in another chain, are not virlan’s', () => {
  const otherRules = [
    '-A DOCKER-USER -i k8s-br0 -j ACCEPT',
    '-A DOCKER-USER -i k8s-br01 -m comment --comment virlan-k8s-br01 -j ACCEPT',
    '-A DOCKER-USER -i k8s-br0 -m comment --comment "virlan-k8s-br0 not" -j ACCEPT',
    '-A FORWARD -m comment --comment virlan-k8s-br0 -j VIRLAN-FWD-k8s-br0',
    '-A INPUT -i k8s-br0 -m comment --comment virlan-k8s-br0 -j ACCEPT',
    '-A FORWARD -i k8s-br0 -m comment --comment virlan-k8s-br0-by-hand -j ACCEPT',
  ];
  assert.deepEqual(foundRules(bridge, { ...docker, iptables: otherRules }).docker, []);
});

/** The network of the other tests, beside one that it reaches. */
function beside(found: OtherFirewallsReading, ...lines: readonly string[]) {
  const text = ['[network.k8s-br0]', ...lines, '[network.far]', 'subnet = 10.9.0.0/24'];
  const [first = network()] = config(text.join('\n')).networks;
  return wantedRules(rulesetOf(first), 'nftables', found);
}

others(
  'each mode: other firewalls let pass what virlan’s own rules accept, and no more than they can tell',
  () => {
    const mark = '-m comment --comment virlan-k8s-br0 -j ACCEPT';
    const docked = (...lines: readonly string[]) => rulesOf(beside(docker, ...lines).docker);
    assert.deepEqual(docked('mode = isolated'), [`-A DOCKER-USER -i k8s-br0 -o k8s-br0 ${mark}`]);
    assert(docked('mode = routed').includes(`-A DOCKER-USER -d 192.168.100.0/24 -o k8s-br0 ${mark}`));
    assert(docked('uplink = eth1').includes(`-A DOCKER-USER -s 192.168.100.0/24 -i k8s-br0 -o eth1 ${mark}`));
    assert(!docked('uplink = eth1').includes(`-A DOCKER-USER -s 192.168.100.0/24 -i k8s-br0 ${mark}`));

    const ufwOn = { ...noFirewalls, ufw: { enabled: true, rules: '' } };
    const routes = (...lines: readonly string[]) =>
      rulesOf(beside(ufwOn, ...lines).ufw)
        .filter(tuple => tuple.startsWith('route:'))
        .map(tuple => ufwArguments(tuple).join(' '));
    const among = 'route allow in on k8s-br0 out on k8s-br0';
    const out = 'route allow in on k8s-br0 from 192.168.100.0/24 to 0.0.0.0/0';
    // ufw cannot tell what a forward leads to machines from other packets.
    const translated = 'route allow out on k8s-br0 from 0.0.0.0/0 to 192.168.100.0/24';
    assert.deepEqual(routes(), [among, translated, out]);
    assert.deepEqual(routes('mode = isolated'), [among]);
    assert.deepEqual(routes('mode = routed'), [
      among,
      translated,
      out,
      'route allow out on k8s-br0 from 0.0.0.0/0 to 0.0.0.0/0',
    ]);
    assert.deepEqual(routes('mode = routed', 'uplink = eth1'), [
      among,
      translated,
      'route allow in on k8s-br0 out on eth1 from 192.168.100.0/24 to 0.0.0.0/0',
      'route allow in on eth1 out on k8s-br0',
    ]);
    assert.deepEqual(routes('reaches = far'), [
      among,
      translated,
      'route allow in on k8s-br0 out on far from 192.168.100.0/24 to 0.0.0.0/0',
      out,
    ]);
  },
);

others("Docker's nftables backend affects only its own bridges", () => {
  const chains = [
    chain('filter-FORWARD', 'accept', { table: 'docker-bridges', hook: 'forward' }),
    chain('filter-forward-in__docker0', null, { table: 'docker-bridges' }),
  ];
  assert.deepEqual(wanted({ ...noFirewalls, chains }).docker, []);
  assert.deepEqual(unknownChains('nftables', { ...noFirewalls, chains }), []);
});

others('ufw: routes and ports are described as ufw commands', () => {
  const commands = (...lines: string[]) =>
    describeRules({ firewall: 'ufw', rules: wanted(ufw('', ...ufwLoaded), ...lines).ufw });
  const routes = [
    'ufw route allow in on k8s-br0 out on k8s-br0',
    'ufw route allow out on k8s-br0 from 0.0.0.0/0 to 192.168.100.0/24',
    'ufw route allow in on k8s-br0 from 192.168.100.0/24 to 0.0.0.0/0',
  ];
  const outgoing = 'ufw allow out on k8s-br0 from 0.0.0.0/0 to 0.0.0.0/0';
  assert.deepEqual(commands(), [
    ...routes,
    'ufw allow in on k8s-br0 proto udp from 0.0.0.0/0 to 0.0.0.0/0 port 53,67',
    'ufw allow in on k8s-br0 proto tcp from 0.0.0.0/0 to 0.0.0.0/0 port 22,53,67',
    outgoing,
  ]);
  assert.deepEqual(commands('host-access = minimal', 'host-allow = tcp/6000-6010, tcp/53, udp/5'), [
    ...routes,
    'ufw allow in on k8s-br0 proto udp from 0.0.0.0/0 to 0.0.0.0/0 port 5,53,67',
    'ufw allow in on k8s-br0 proto tcp from 0.0.0.0/0 to 0.0.0.0/0 port 53,67,6000:6010',
    outgoing,
  ]);
  assert.deepEqual(commands('host-access = all'), [
    ...routes,
    'ufw allow in on k8s-br0 from 0.0.0.0/0 to 0.0.0.0/0',
    outgoing,
  ]);
});

others(
  'ufw: marked tuples in its file are virlan’s, and a reload restores those that the kernel lacks',
  () => {
    const tuples = rulesOf(wanted(ufw('', ...ufwLoaded)).ufw);
    const file = [
      '### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in_k8s-br0',
      '-A ufw-user-input -i k8s-br0 -p tcp --dport 22 -j ACCEPT',
      '',
      ...tuples.flatMap(tuple => [`### tuple ### ${tuple} comment=${comment}`, '-A ufw-user-input …', '']),
      '### END RULES ###',
    ].join('\n');
    const live = tuples.map(() => '-A ufw-user-input -i k8s-br0 -j ACCEPT');
    assert.deepEqual(rulesOf(foundRules(bridge, ufw(file)).ufw), tuples);
    assert.deepEqual(rulesOf(wanted(ufw(file, ...ufwLoaded, ...live)).ufw), tuples);
    assert.deepEqual(rulesOf(wanted(ufw(file, ...ufwLoaded)).ufw), [...tuples, 'reload']);
    const jumps = rulesOf(wanted(ufw(file)).ufw).filter(line => line.startsWith('-A '));
    assert.deepEqual(jumps, [
      '-A FORWARD -m comment --comment virlan-k8s-br0 -j ufw-before-forward',
      '-A INPUT -m comment --comment virlan-k8s-br0 -j ufw-before-input',
    ]);
    // No policy drops packets: the jumps were removed on purpose.
    assert.deepEqual(rulesOf(wanted({ ...ufw(file), chains: [] }).ufw), tuples);
    const off = { enabled: false, rules: file };
    assert.deepEqual(rulesOf(wanted({ ...ufw(file, ...jumps), ufw: off }).ufw), [...jumps, ...tuples]);
    // A disabled ufw keeps its rules, and gets no new ones.
    assert.deepEqual(rulesOf(wanted({ ...ufw(file), ufw: off }).ufw), tuples);
    assert.deepEqual(rulesOf(wanted({ ...ufw(file), ufw: { enabled: false, rules: '' } }).ufw), []);
    assert.equal(
      withoutTuples(bridge, file),
      `${file.split('\n').slice(0, 3).join('\n')}\n### END RULES ###`,
    );
  },
);

others('ufw: a tuple is translated to the arguments of ufw', () => {
  assert.deepEqual(ufwArguments('allow udp 53,67 0.0.0.0/0 any 10.0.0.0/8 in_br0'), [
    ...['allow', 'in', 'on', 'br0', 'proto', 'udp', 'from', '10.0.0.0/8', 'to', '0.0.0.0/0', 'port', '53,67'],
  ]);
});

others('firewalld: a permanent zone, and an existing zone until firewalld has read it', () => {
  const own = 'virlan-k8s-br0';
  const file = zoneFile(bridge);
  const cases: [OtherFirewallsReading, needed: string[], marked: string[]][] = [
    [firewalld({}, false), [`permanent zone ${own}`], []],
    [firewalld({}), [`permanent zone ${own}`, `runtime zone ${own}`], []],
    [
      firewalld({ zoneFile: file, zone: 'trusted' }),
      [`permanent zone ${own}`, 'runtime zone trusted'],
      [`permanent zone ${own}`, 'runtime zone trusted'],
    ],
    [
      firewalld({ zoneFile: '<zone/>', zone: own }),
      [`permanent zone ${own}`, `runtime zone ${own}`],
      [`permanent zone ${own} (changed)`, `runtime zone ${own}`],
    ],
    // The administrator has chosen a zone.
    [firewalld({ zone: 'libvirt' }), [], []],
    [firewalld({ zone: 'trusted' }), [], []],
    [firewalld({ claimedBy: 'work', zone: 'work' }), [], []],
    [firewalld({ zoneFile: file, claimedBy: 'trusted', zone: 'trusted' }), [], [`permanent zone ${own}`]],
    // firewalld does not answer.
    [firewalld({ zone: null }), [`permanent zone ${own}`], []],
  ];
  for (const [found, needed, marked] of cases) {
    const texts = ({ firewalld: rules }: RulesByFirewall) => describeRules({ firewall: 'firewalld', rules });
    assert.deepEqual(texts(wanted(found)), needed);
    assert.deepEqual(texts(foundRules(bridge, found)), marked);
  }
});

others('firewalld: a zone that names the bridge is found in any spelling of XML', async () => {
  const read = async (zone: string) => {
    const files: Record<string, string> = { '/etc/firewalld/zones/work.xml': zone };
    const host = {
      listDirectory: () => ['work.xml'],
      readFile: (path: string) => files[path] ?? '',
    } as unknown as System;
    return (await firewalldOwner.read(host, bridge, { chains: [] } as never, () => {}))?.claimedBy;
  };
  const spellings = [
    `<interface name="${bridge}"/>`,
    `<interface name="${bridge}" />`,
    `<interface name='${bridge}'></interface>`,
    `<interface\n  name = "${bridge}"\n/>`,
  ];
  for (const spelling of spellings)
    assert.equal(await read(`<?xml version="1.0"?>\n<zone>\n  ${spelling}\n</zone>\n`), 'work', spelling);
  for (const other of [
    `<interface name="${bridge}0"/>`,
    `<!-- <interface name="${bridge}"/> -->`,
    '<interface',
  ])
    assert.equal(await read(`<zone>${other}</zone>`), null, other);
});

others('firewalld: the name of a zone is valid, and unique for each bridge', () => {
  const bridges = ['k8s-br0', 'a.b', 'a_b', 'fifteen-letters', 'fifteen_letters'];
  const names = bridges.map(zoneName);
  assert.equal(new Set(names).size, bridges.length);
  for (const name of names) assert.match(name, /^[A-Za-z0-9_-]{1,17}$/);
});

others('unknown chains: those with a drop policy and without a known owner', () => {
  const corp = chain('fw', 'drop', { family: 'inet', table: 'corp', hook: 'forward' });
  const unknownNames = (backend: 'nftables' | 'iptables', found: OtherFirewallsReading) =>
    unknownChains(backend, found).map(({ name }) => name);
  assert.deepEqual(unknownNames('nftables', { ...docker, chains: [...docker.chains, corp] }), ['fw']);
  assert.deepEqual(unknownNames('nftables', ufw('')), []);
  const plain = { ...noFirewalls, chains: [chain('FORWARD', 'drop'), chain('INPUT', 'drop')] };
  assert.deepEqual(unknownNames('nftables', plain), ['FORWARD', 'INPUT']);
  assert.deepEqual(unknownNames('iptables', plain), []);
  assert.deepEqual(
    unknownNames('nftables', { ...docker, chains: [...docker.chains, chain('INPUT', 'drop')] }),
    ['INPUT'],
  );
  for (const hook of ['prerouting', 'output', 'postrouting']) {
    const found = { ...noFirewalls, chains: [chain('x', 'drop', { family: 'inet', hook })] };
    assert.deepEqual(unknownNames('nftables', found), ['x'], hook);
  }
  const output = { ...noFirewalls, chains: [chain('OUTPUT', 'drop')] };
  assert.deepEqual(unknownNames('iptables', output), ['OUTPUT']);
  const harmless = [
    chain('egress', 'drop', { family: 'netdev', hook: 'egress' }),
    chain('six', 'drop', { family: 'ip6', hook: 'forward' }),
    chain('on', 'accept', { family: 'inet', hook: 'forward' }),
    chain('filter_FORWARD', 'drop', { family: 'inet', table: 'firewalld', hook: 'forward' }),
  ];
  assert.deepEqual(unknownNames('nftables', { ...noFirewalls, chains: harmless }), []);
});

others('unknown chains: those whose own rules accept all packets of the bridge are not a problem', () => {
  const listing = readFileSync('test/unit/fixtures/nft-policies.json', 'utf8');
  const chains = parseNftChains(listing).filter(({ policy }) => policy === 'drop');
  const passed = parseNftTables(listing).flatMap(({ table, chains: rules }) =>
    chains
      .filter(each => each.table === table && acceptsMachines(rules, each, bridge))
      .map(each => `${table} ${each.name}`),
  );
  assert.equal(chains.length, 8);
  assert.deepEqual(passed, ['filter input', 'filter forward', 'six forward', 'jumps forward']);
  const saved = (...rules: readonly string[]) =>
    acceptsMachines(
      parseSavedRules([':FORWARD DROP [0:0]', ...rules.map(rule => `-A FORWARD ${rule}`)]),
      chain('FORWARD', 'drop'),
      bridge,
    );
  const replies = `-o ${bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`;
  assert(saved(`-i ${bridge} -j ACCEPT`, replies));
  assert(saved('-m conntrack --ctstate INVALID -j DROP', '-i k8s+ -j ACCEPT', replies));
  assert(!saved(`-i ${bridge} -j ACCEPT`));
  assert(!saved(replies));
  assert(!saved(`-i ${bridge} -p tcp -j ACCEPT`, replies));
  assert(!saved(`-i ${bridge} -j REJECT`, `-i ${bridge} -j ACCEPT`, replies));
});

others('chains are identified by family, table and name', () => {
  const own = chain('FORWARD', 'drop');
  assert(isSameChain(own, chain('FORWARD')));
  for (const more of [{ family: 'inet' }, { table: 'corp' }, { name: 'INPUT' }])
    assert(!isSameChain(own, { ...own, ...more }), JSON.stringify(more));

  const remedy = (found: Chain) => proposedCommand(bridge, found) ?? '';
  assert.match(remedy(own), /^iptables -I FORWARD /);
  assert.match(remedy({ ...own, table: 'corp' }), /^nft 'insert rule ip corp FORWARD /);
  assert.match(remedy({ ...own, family: 'inet' }), /^nft 'insert rule inet filter FORWARD /);

  const zones = chain('INPUT_ZONES');
  assert.deepEqual(presentFirewalls({ ...noFirewalls, chains: [zones] }), ['firewalld']);
  assert.deepEqual(presentFirewalls({ ...noFirewalls, chains: [{ ...zones, table: 'corp' }] }), []);
});

others('unknown chains: a hostile name is never part of a command', () => {
  const hostile = chain("x'; reboot; '", 'drop', { table: 'filter', hook: 'forward' });
  assert.equal(proposedCommand(bridge, hostile), null);
  const text = warningText({ kind: 'unknown-chain', bridge, found: { chain: hostile, unreadable: null } });
  assert.match(text, /: let packets from k8s-br0 pass there$/);
});

others('listings of nft and iptables are parsed, and unknown parts are skipped', () => {
  const listed = {
    nftables: [
      { metainfo: { version: '9.9' } },
      { chain: { family: 'ip', table: 'filter', name: 'FORWARD', hook: 'forward', policy: 'drop' } },
      { chain: { family: 'inet', table: 't', name: 'c', prio: {} } },
      { chain: { family: 7, table: 't', name: 'c' } },
      { marvel: true },
      null,
    ],
  };
  assert.deepEqual(parseNftChains(JSON.stringify(listed)), [
    chain('FORWARD', 'drop'),
    chain('c', null, { family: 'inet', table: 't' }),
  ]);
  const save =
    '*nat\n:FORWARD DROP [0:0]\nCOMMIT\n*filter\n:FORWARD DROP [1:2]\n:X - [0:0]\n-A X -j DROP\nCOMMIT\n';
  const filter = savedLines(save).get('filter') ?? [];
  assert.deepEqual(filter, [':FORWARD DROP [1:2]', ':X - [0:0]', '-A X -j DROP']);
  assert.deepEqual(parseSavedChains(filter, 'ip', 'filter'), [chain('FORWARD', 'drop'), chain('X')]);
  assert.deepEqual(savedLines(''), new Map());
});

others('arbitrary listings are parsed or refused, and never taken for rules of virlan', () => {
  fc.assert(
    fc.property(fc.oneof(fc.json(), fc.string({ unit: 'binary' })), text => {
      try {
        parseNftChains(text);
      } catch (error) {
        assert(error instanceof Error);
      }
      const lines = text.split('\n');
      const chains = parseSavedChains(lines, 'ip', 'filter');
      const found = { ...ufw(text, ...lines), chains: [...chains, chain('DOCKER-USER')] };
      assert.deepEqual(foundRules(bridge, found), { docker: [], ufw: [], firewalld: [] });
      wanted(found);
      for (const each of unknownChains('nftables', found)) proposedCommand(bridge, each);
    }),
  );
});

others.run();
