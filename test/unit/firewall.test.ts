// firewall.test.ts: tests the rules of both firewall backends and how they are replaced.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { formatPrefix } from '../../src/address/ip.ts';
import { CommandError } from '../../src/errors.ts';
import type { Lacking } from '../../src/firewall/backend.ts';
import { backends } from '../../src/firewall/backends.ts';
import { checksumScript, ownLines, replaceScript as replaceIptables } from '../../src/firewall/iptables.ts';
import { contentOf, missingObjects, removeIfEmpty, savedTables } from '../../src/firewall/iptables-tables.ts';
import { createScript, removeScript, replaceScript } from '../../src/firewall/nftables.ts';
import { overruledRules } from '../../src/firewall/overruled.ts';
import { makeRuleset, waysOut } from '../../src/firewall/ruleset.ts';
import { parseLinksAndRoutes } from '../../src/network/kernel/links.ts';
import { networksBehind } from '../../src/network/routes/route-links.ts';
import { config, network, rulesetOf } from './builders.ts';
import { assertGolden } from './golden.ts';

const firewall = suite('firewall');

const cases = {
  default: [],
  minimal: ['host-access = minimal'],
  all: ['host-access = all'],
  ports: [
    `host-allow = udp/123, ${Array.from({ length: 14 }, (_, at) => `tcp/${5000 + 2 * at}`)}, tcp/6000-6010, tcp/7000-7001`,
  ],
  strict: ['host-firewall = strict', 'host-allow = tcp/5000'],
  dots: ['bridge = br.k8s_0-a', 'subnet = 10.64.0.0/10'],
} satisfies Record<string, string[]>;

firewall('the scripts of both backends are the golden ones', () => {
  for (const [name, lines] of Object.entries(cases)) {
    const ruleset = rulesetOf(network(...lines));
    assertGolden(`${name}.nft`, backends.nftables.render(ruleset));
    assertGolden(`${name}.iptables`, backends.iptables.render(ruleset));
  }
});

firewall('where the kernel cannot count connections, the limit alone is left out, with its set', () => {
  const ruleset = rulesetOf(network());
  const lines = (lacking: readonly Lacking[]) => backends.nftables.render(ruleset, lacking).split('\n');
  const without = lines(['connection-limit']);
  assert.deepEqual(
    lines([]).filter(line => !without.includes(line)),
    [
      '\tset connections {',
      '\t\ttypeof meta priority',
      '\t\tsize 65535',
      '\t\tflags dynamic',
      '\t\tiifname "k8s-br0" tcp dport { 53 } meta priority 3189407744-3189440511 add @connections { meta priority ct count over 8 } drop',
    ],
  );
  assert.deepEqual(
    without.filter(line => !lines([]).includes(line)),
    [],
  );
});

/** The networks lab, which reaches `far`, and `apart`, which it does not reach. */
function lab(...lines: readonly string[]) {
  const others = [
    ['[network.far]', 'subnet = 10.0.1.0/24', 'mode = routed'],
    ['[network.apart]', 'subnet = 10.0.2.0/24'],
  ];
  const { networks } = config(
    ['[network.lab]', 'subnet = 10.0.0.0/24', ...lines, ...others.flat()].join('\n'),
  );
  return networks[0] ?? network();
}

const modes = {
  routed: { lines: ['mode = routed', 'reaches = far'], defaultLinks: [] },
  isolated: { lines: ['mode = isolated'], defaultLinks: [] },
  apart: { lines: ['isolate = yes'], defaultLinks: [] },
  reaches: { lines: ['reaches = far'], defaultLinks: [] },
  uplink: { lines: ['uplink = eth1'], defaultLinks: ['eth0'] },
  'routed-uplink': { lines: ['mode = routed', 'uplink = eth1'], defaultLinks: ['eth0'] },
  'outside-uplink': { lines: ['outside = uplink'], defaultLinks: ['eth0', 'wwan0'] },
} satisfies Record<string, { lines: string[]; defaultLinks: string[] }>;

firewall('the scripts of each mode, and of what machines reach, are the golden ones', () => {
  for (const [name, { lines, defaultLinks }] of Object.entries(modes)) {
    const ruleset = rulesetOf(lab(...lines), 'ipv4', defaultLinks);
    assertGolden(`${name}.nft`, backends.nftables.render(ruleset));
    assertGolden(`${name}.iptables`, backends.iptables.render(ruleset));
    assert.deepEqual(rulesetOf(lab(...lines), 'ipv6'), rulesetOf(lab(), 'ipv6'));
  }
  for (const family of ['ipv4', 'ipv6'] as const)
    assert.equal(makeRuleset(network('mode = open'), family, 'any'), null);
});

firewall('links whose names rules cannot hold are not a way out, and without any link there is none', () => {
  const strange = ['eth0', 'a"b', 'eth+', 'x;y', '$(id)', '-j', 'é'];
  assert.deepEqual(waysOut(network('outside = uplink'), strange), ['eth0']);
  assert.equal(waysOut(network(), strange), 'any');
  const ruleset = rulesetOf(network('outside = uplink'), 'ipv4', []);
  const accepts = ruleset.forward.filter(
    ({ from, to, tracked, translated, verdict }) =>
      verdict.kind === 'accept' && from === 'k8s-br0' && to === undefined && !tracked && !translated,
  );
  assert.deepEqual(accepts, []);
});

firewall('the IPv6 scripts of both backends are the golden ones', () => {
  for (const name of ['default', 'strict'] as const) {
    const ruleset = rulesetOf(network(...cases[name]), 'ipv6');
    assertGolden(`${name}-ipv6.nft`, backends.nftables.render(ruleset));
    assertGolden(`${name}-ipv6.iptables`, backends.iptables.render(ruleset));
  }
});

firewall('rules match links by name, and stay within the kernel’s limits on ports and chain names', () => {
  for (const lines of Object.values(cases)) {
    const ruleset = rulesetOf(network(...lines));
    const script = backends.iptables.render(ruleset);
    assert.doesNotMatch(backends.nftables.render(ruleset), /\b[io]if "/);
    for (const [, ports = ''] of script.matchAll(/--dports (\S+)/g)) {
      // xt_multiport holds 15 ports; a range counts as two.
      assert(ports.split(/[,:]/).length <= 15, ports);
    }
    // The name of a chain has 28 characters at most (XT_EXTENSION_MAXNAMELEN).
    for (const [, chain = ''] of script.matchAll(/^:(\S+)/gm)) assert(chain.length <= 28, chain);
  }
});

firewall('beside nftables, iptables only fills in the checksums of DHCP replies', () => {
  assert.equal(
    checksumScript('k8s-br0'),
    `*mangle
:VIRLAN-POST-k8s-br0 - [0:0]
-I POSTROUTING 1 -j VIRLAN-POST-k8s-br0
-A VIRLAN-POST-k8s-br0 -o k8s-br0 -p udp -m udp --dport 68 -j CHECKSUM --checksum-fill
COMMIT
`,
  );
});

firewall('a table is removed as a whole, and a missing one is not an error', () => {
  const place = { bridge: 'k8s-br0', family: 'ipv4' } as const;
  const removal = 'table ip virlan-k8s-br0\ndelete table ip virlan-k8s-br0\n';
  assert.equal(removeScript(place), removal);
  assert.equal(replaceScript(place, 'RULES'), `${removal}RULES`);
  assert.equal(createScript(place, 'RULES'), 'create table ip virlan-k8s-br0\nRULES');
});

const wanted = checksumScript('br0');

/** The output of iptables-save with a duplicate jump, an obsolete chain and rules of other programs. */
const save = `# Generated by iptables-save v1.8.9
*mangle
:PREROUTING ACCEPT [5:300]
:POSTROUTING ACCEPT [7:420]
:VIRLAN-POST-br0 - [3:90]
:VIRLAN-POST-br01 - [0:0]
-A POSTROUTING -m comment --comment virlan-br0 -j VIRLAN-POST-br0
-A POSTROUTING -m comment --comment virlan-br0 -j VIRLAN-POST-br0
-A POSTROUTING -m comment --comment virlan-br01 -j VIRLAN-POST-br01
-A POSTROUTING -o eth0 -j ACCEPT
-A VIRLAN-POST-br0 -o br0 -p udp -m udp --dport 68 -j CHECKSUM --checksum-fill
-A VIRLAN-POST-br01 -o br01 -j ACCEPT
COMMIT
*filter
:INPUT ACCEPT [0:0]
:VIRLAN-INP-br0 - [0:0]
:VIRLAN-MINE-br0 - [0:0]
-A INPUT -i br0 -m comment --comment virlan-br0 -j VIRLAN-INP-br0
-A VIRLAN-INP-br0 -j DROP
-A FORWARD -i br0 -j ACCEPT
COMMIT
`;

firewall('the lines of one bridge are selected, without those of a bridge with a longer name', () => {
  assert.deepEqual(ownLines('br0', save), [
    '*mangle',
    ':VIRLAN-POST-br0 - [0:0]',
    '-A POSTROUTING -m comment --comment virlan-br0 -j VIRLAN-POST-br0',
    '-A POSTROUTING -m comment --comment virlan-br0 -j VIRLAN-POST-br0',
    '-A VIRLAN-POST-br0 -o br0 -p udp -m udp --dport 68 -j CHECKSUM --checksum-fill',
    '*filter',
    ':VIRLAN-INP-br0 - [0:0]',
    '-A INPUT -i br0 -m comment --comment virlan-br0 -j VIRLAN-INP-br0',
    '-A VIRLAN-INP-br0 -j DROP',
  ]);
  assert.deepEqual(ownLines('br', save), []);
  assert.deepEqual(ownLines('.*', save), []);
});

firewall(
  'rules are replaced in one transaction per table, without duplicate jumps and obsolete chains',
  () => {
    assert.equal(
      replaceIptables('br0', wanted, ownLines('br0', save)),
      `*filter
:VIRLAN-INP-br0 - [0:0]
-D INPUT -i br0 -m comment --comment virlan-br0 -j VIRLAN-INP-br0
-X VIRLAN-INP-br0
COMMIT
*mangle
-D POSTROUTING -m comment --comment virlan-br0 -j VIRLAN-POST-br0
-D POSTROUTING -m comment --comment virlan-br0 -j VIRLAN-POST-br0
:VIRLAN-POST-br0 - [0:0]
-I POSTROUTING 1 -j VIRLAN-POST-br0
-A VIRLAN-POST-br0 -o br0 -p udp -m udp --dport 68 -j CHECKSUM --checksum-fill
COMMIT
`,
    );
  },
);

firewall('rules are removed with their jumps, and without rules nothing is done', () => {
  const listing = ownLines('br0', save).filter((_, line) => line < 5);
  assert.equal(
    replaceIptables('br0', null, listing),
    `*mangle
:VIRLAN-POST-br0 - [0:0]
-D POSTROUTING -m comment --comment virlan-br0 -j VIRLAN-POST-br0
-D POSTROUTING -m comment --comment virlan-br0 -j VIRLAN-POST-br0
-X VIRLAN-POST-br0
COMMIT
`,
  );
  assert.equal(replaceIptables('br0', null, []), '');
  assert.equal(replaceIptables('br0', wanted, []), wanted);
});

firewall('a script makes the tables and the built-in chains that are not there', async () => {
  const script =
    '*filter\n:VIRLAN-FWD-lab - [0:0]\n-I FORWARD 1 -j VIRLAN-FWD-lab\n-I INPUT 1 -j VIRLAN-INP-lab\n-A VIRLAN-FWD-lab -j ACCEPT\nCOMMIT\n' +
    '*mangle\n-I PREROUTING 1 -j VIRLAN-PRE-lab\nCOMMIT\n';
  const listed = (...chains: string[]) =>
    JSON.stringify({
      nftables: [
        { metainfo: {} },
        ...chains.map(name => ({ chain: { family: 'ip', table: 'filter', name } })),
        { chain: { family: 'ip6', table: 'filter', name: 'INPUT' } },
      ],
    });
  const made = async (present: string[], listing: string) => {
    const missing = await missingObjects('ipv4', present, script, async () => listing);
    return missing.map(({ table, chain }) => [table, chain]);
  };
  const [filter, mangle, input] = [
    ['filter', null],
    ['mangle', null],
    ['filter', 'INPUT'],
  ];
  assert.deepEqual(await made([], 'never asked'), [filter, mangle]);
  assert.deepEqual(await made(['filter'], listed('FORWARD')), [mangle, input]);
  assert.deepEqual(await made(['filter', 'mangle'], listed('FORWARD', 'INPUT')), []);
  // iptables-legacy, and no nft.
  for (const listing of [listed(), '', '{}']) assert.deepEqual(await made(['filter', 'mangle'], listing), []);
});

firewall(
  'a table that iptables made counts as empty only without rules, policies and objects of others',
  () => {
    const base = (fields: object) => ({
      chain: { name: 'INPUT', hook: 'input', policy: 'accept', ...fields },
    });
    const content = (...entries: object[]) =>
      contentOf({ nftables: [{ metainfo: {} }, { table: { name: 'filter' } }, ...entries] });
    assert.equal(content(), 'nothing');
    assert.equal(content(base({}), base({ name: 'FORWARD', hook: 'forward' })), 'nothing');
    for (const entry of [
      base({ policy: 'drop' }),
      base({ name: 'mine' }),
      { chain: { name: 'DOCKER-USER' } },
      { rule: { chain: 'INPUT', expr: [] } },
      { set: { name: 'allowed' } },
      { map: {} },
      { flowtable: {} },
    ])
      assert.equal(content(base({}), entry), 'others', JSON.stringify(entry));
    assert.equal(content(base({}), { chain: { name: 'VIRLAN-FWD-lab' } }), 'own');
    const jump = (target: string) => ({ rule: { expr: [{ counter: {} }, { jump: { target } }] } });
    assert.equal(content(base({}), jump('VIRLAN-INP-lab')), 'own');
    assert.equal(content(base({}), jump('mine')), 'others');
    assert.deepEqual(
      savedTables("# Table `raw' is incompatible, use 'nft' tool.\n*filter\n:INPUT\nCOMMIT\n*nat\n"),
      ['raw', 'filter', 'nat'],
    );
  },
);

/** Rules behind the jump, and whether they may decide about the source of machines of 10.0.0.0/24. */
const behind: [isOverruled: boolean, rule: string, ...chains: string[]][] = [
  [true, '-s 10.0.0.0/24 -o eth0 -j SNAT --to-source 203.0.113.9'],
  [true, '-s 10.0.0.57/32 -j SNAT --to-source 203.0.113.9'],
  [true, '-s 10.0.0.0/8 -d 172.16.0.0/12 -j ACCEPT'],
  [true, '-o eth0 -j SNAT --to-source 203.0.113.9'],
  [true, '-s 10.0.0.0/24 -o eth0 -j NETMAP --to 203.0.113.0/24'],
  [true, '-d 172.16.0.0/12 -j RETURN'],
  [true, '! -s 10.8.0.0/24 -j SNAT --to-source 203.0.113.9'],
  [true, '-m comment --comment "a -j b" -j SNAT --to-source 203.0.113.9'],
  [true, '-g MINE', '-A MINE -j DEEP', '-A DEEP -s 10.0.0.57/32 -j SNAT --to-source 203.0.113.9'],
  [false, '-s 10.8.0.0/24 -o eth0 -j SNAT --to-source 203.0.113.9'],
  [false, '-s 10.0.0.0/24 -o eth0 -j MASQUERADE'],
  [false, '-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE'],
  [false, '-m comment --comment " -j SNAT " -j MASQUERADE'],
  [false, '-j LIBVIRT_PRT', '-A LIBVIRT_PRT -s 192.168.122.0/24 -d 224.0.0.0/24 -j RETURN'],
  [false, '-j KUBE', '-A KUBE -m mark ! --mark 0x4000/0x4000 -j RETURN', '-A KUBE -j MASQUERADE'],
  [false, '-s 10.88.0.5/32 -j CNI', '-A CNI -d 10.88.0.0/16 -j ACCEPT', '-A CNI -j MASQUERADE'],
  [false, '-j VIRLAN-POST-other', '-A VIRLAN-POST-other -j ACCEPT'],
];

firewall('a rule of others is overruled if it comes behind the jump, and may decide about machines', () => {
  const own = '-A VIRLAN-POST-lab -s 10.0.0.0/24 ! -d 10.0.0.0/24 ! -o lab -j MASQUERADE';
  for (const [isOverruled, written, ...chains] of behind) {
    const [jump, rule] = ['-A POSTROUTING -j VIRLAN-POST-lab', `-A POSTROUTING ${written}`];
    const found = (...rules: string[]) =>
      overruledRules(['*nat', ...rules, own, ...chains, 'COMMIT', ''].join('\n'), 'VIRLAN-POST-lab');
    assert.deepEqual(found(jump, rule), isOverruled ? [rule] : [], rule);
    assert.deepEqual(found(rule, jump), [], rule);
    assert.deepEqual(found(rule), [], rule);
  }
});

firewall('the rules of a listing are counted, also across line breaks', () => {
  const listing = [
    'table ip virlan-k8s-br0 {',
    '\tchain input {',
    '\t\ttype filter hook input priority filter; policy accept;',
    '\t\tiifname "k8s-br0" tcp dport { 1, 2, 3,',
    '\t\t\t\t\t       4, 5 } accept',
    '\t\tct state invalid drop',
    '\t}',
    '}',
  ];
  assert.equal(backends.nftables.countRules(listing), 2);
  const script = backends.iptables.render(rulesetOf(network())).split('\n');
  const listed = script.map(line => line.replace(/^-I (\S+) 1 /, '-A $1 '));
  assert(backends.iptables.countRules(script) > 10);
  assert.equal(backends.iptables.countRules(listed), backends.iptables.countRules(script));
  assert.equal(
    backends.iptables.countRules(
      listed.filter(line => !line.startsWith('-A INPUT -i k8s-br0 -j VIRLAN-INP')),
    ),
    backends.iptables.countRules(script) - 1,
  );
});

firewall('tables that iptables made are kept in mind while the kernel is busy', async () => {
  const empty = { nftables: [{ metainfo: {} }, { table: { name: 'mangle' } }] };
  const failure = (stderr: string) => new CommandError('nft', { reason: 'failed', exitCode: 1, stderr });
  const content = (listing: object | Error, deletion: Error | null) => {
    const run = async (_program: string, [, verb]: readonly string[]) => {
      const result = verb === 'list' ? listing : (deletion ?? {});
      if (result instanceof Error) throw result;
      return JSON.stringify(result);
    };
    const mangle = { family: 'ipv4', table: 'mangle', chain: null } as const;
    return removeIfEmpty(
      { run: (program, args) => run(program, ['', ...args.filter(arg => arg !== '--json')]) },
      mangle,
    );
  };
  const busy = failure('Error: Could not process rule: Device or resource busy');
  assert.equal(await content(empty, null), 'nothing');
  assert.equal(await content(failure('Error: No such file or directory'), null), 'nothing');
  assert.equal(
    await content(failure('netlink: Error: cache initialization failed: Interrupted system call'), null),
    'unknown',
  );
  assert.equal(await content(empty, busy), 'unknown');
});

firewall('networks behind machines are named to a backend that cannot tell them', () => {
  const behind = networksBehind(
    parseLinksAndRoutes(
      `[]\n${JSON.stringify([
        { dst: '10.244.1.0/24', gateway: '192.168.100.9', dev: 'k8s-br0' },
        { dst: '10.9.9.9', gateway: '192.168.100.9', dev: 'k8s-br0' },
        { dst: '192.168.100.0/24', dev: 'k8s-br0', protocol: 'kernel' },
        { dst: '192.168.100.128/25', gateway: '192.168.100.9', dev: 'k8s-br0' },
        { dst: '10.3.0.0/16', gateway: '192.168.100.9', dev: 'k8s-br0', table: '77' },
        { dst: '10.2.0.0/16', dev: 'eth0' },
      ])}\n[]`,
    ),
    network(),
  );
  assert.deepEqual(behind.map(formatPrefix), ['10.244.1.0/24', '10.9.9.9/32']);
  const ruleset = makeRuleset(network(), 'ipv4', 'any', behind);
  assert(ruleset);
  const [first, second] = backends.iptables
    .render(ruleset)
    .split('\n')
    .filter(line => line.startsWith('-A VIRLAN-FWD-k8s-br0 '));
  assert.equal(first, '-A VIRLAN-FWD-k8s-br0 -s 10.244.1.0/24 -i k8s-br0 -o k8s-br0 -j ACCEPT');
  assert.match(second ?? '', / -s 10\.9\.9\.9\/32 /);
});

firewall.run();
