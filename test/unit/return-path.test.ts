// return-path.test.ts: tests which rules of routing are named because answers to machines do not reach them.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { formatPrefix } from '../../src/address/ip.ts';
import { CommandError } from '../../src/errors.ts';
import { knownSubnets, parseLinksAndRoutes } from '../../src/network/kernel/links.ts';
import { type Detour, findDetours } from '../../src/network/routes/return-path.ts';
import { detourRemedy, detourText } from '../../src/network/routes/route-text.ts';
import { network } from './builders.ts';

const paths = suite('return path');

const machine = '192.168.100.254';
const own = { dst: machine, dev: 'k8s-br0' };

interface Found {
  /** Rules, as ip lists them, besides those of every host. */
  readonly rules: readonly object[];
  readonly routes?: readonly object[];
  /** The answers of `ip route get`, by what follows the machine's address; a missing one is a refusal. */
  readonly answers: Readonly<Record<string, object>>;
}

interface Host extends Pick<Found, 'rules' | 'routes'> {
  /** Answers as the kernel does about one machine; null for a refusal. */
  answer(machine: string, query: string): object | null;
}

/** Returns the detours, and the machines that the kernel was asked about. */
async function ask({ rules, routes = [], answer }: Host) {
  const standard = ['local', 'main', 'default'].map((table, at) => ({
    priority: [0, 32_766, 32_767][at],
    src: 'all',
    table,
  }));
  const links = ['k8s-br0', 'eth0'].map((ifname, at) => ({ ifindex: at, ifname, mtu: 1500, flags: ['UP'] }));
  const reading = [links, routes, [...standard, ...rules]].map(each => JSON.stringify(each)).join('\n');
  const asked = new Set<string>();
  const run = async (program: string, args: readonly string[]) => {
    assert.equal(program, 'ip');
    const [, , , address = '', ...rest] = args;
    asked.add(address);
    const found = answer(address, rest.join(' '));
    if (found !== null) return JSON.stringify([found]);
    throw new CommandError('refused', {
      reason: 'failed',
      exitCode: 2,
      stderr: 'RTNETLINK answers',
      cause: null,
    });
  };
  return { detours: await findDetours({ run }, network(), parseLinksAndRoutes(reading)), asked: [...asked] };
}

/** Returns the detour of a host where only one machine has to be asked about. */
async function detourOf({ answers, ...host }: Found): Promise<Detour | null> {
  const answer = (address: string, query: string) => {
    assert.equal(address, machine);
    return answers[query] ?? null;
  };
  const [detour, ...others] = (await ask({ ...host, answer })).detours;
  assert.deepEqual(others, []);
  return detour ?? null;
}

/** Answers that packets to machines of a prefix meet something, and others leave by the bridge. */
function only(start: string, found: object | null) {
  return (address: string) => (address.startsWith(start) ? found : own);
}

function ruleOf(detour: Detour | null) {
  assert(detour?.by.kind === 'rule');
  return detour.by;
}

paths('a table that leads packets of the host elsewhere', async () => {
  const vpn = { priority: 5270, src: 'all', table: '52' };
  const found = await detourOf({ rules: [vpn], answers: { '': { dst: machine, dev: 'ts0', table: '52' } } });
  assert.equal(
    found && detourText(found),
    'packets to machines leave by ts0, not by k8s-br0: routing table 52 is asked before the main one',
  );
  assert.equal(await detourOf({ rules: [vpn], answers: { '': own } }), null);
});

paths('a table for all but some packets, and for those of the host itself', async () => {
  const answers = { '': { dst: machine, dev: 'ts0', table: '52' } };
  for (const rule of [
    { not: null, src: 'all', dst: '10.0.0.0', dstlen: 8 },
    { not: null, src: 'all', iif: 'eth0' },
    { src: 'all', iif: 'lo' },
  ]) {
    const found = await detourOf({ rules: [{ priority: 5270, table: '52', ...rule }], answers });
    assert.deepEqual([ruleOf(found).table, found?.link], ['52', 'ts0'], JSON.stringify(rule));
  }
});

paths(
  'of several routes of a table, the part is that of the longest prefix, wherever it is listed',
  async () => {
    const routes = ['192.168.0.0/16', '192.168.100.252/30', '192.168.100.0/24'].map(dst => ({
      dst,
      dev: 'wg0',
      table: '77',
    }));
    const { detours } = await ask({
      rules: [{ priority: 100, src: 'all', table: '77' }],
      routes,
      answer: address => ({ dst: address, dev: 'wg0', table: '77' }),
    });
    assert.deepEqual(
      detours.map(({ part }) => part && formatPrefix(part)),
      ['192.168.100.252/30'],
    );
  },
);

paths('a table for what the subnet sends, which answers of the gateway meet too', async () => {
  const bySource = { priority: 1001, src: '192.168.100.0', srclen: 24, table: '100' };
  const elsewhere = { dst: machine, dev: 'wg0', table: '100' };
  const found = await detourOf({
    rules: [bySource],
    answers: { '': own, 'from 192.168.100.1': elsewhere },
  });
  assert.deepEqual(
    [ruleOf(found).table, found?.link, found && detourRemedy(found).command],
    ['100', 'wg0', 'ip rule add to 192.168.100.0/24 lookup main pref 1000'],
  );
});

paths('a table for what comes in by the uplink, and one for what comes in by the bridge', async () => {
  const rules = ['k8s-br0', 'eth0', 'gone0'].map((iif, at) => ({
    priority: 100 + at,
    src: 'all',
    iif,
    table: '7',
  }));
  const elsewhere = { dst: machine, dev: 'eth0', table: '7' };
  const found = await detourOf({ rules, answers: { '': own, 'from 192.0.2.1 iif eth0': elsewhere } });
  assert.deepEqual([ruleOf(found).priority, found?.link], [101, 'eth0']);
});

paths('rules about one kind of packets keep those from machines', async () => {
  const elsewhere = { dst: machine, dev: 'eth0', table: '7' };
  const cases: [rule: object, query: string, kind: string, found: object | null][] = [
    [{ sport: 53, action: 'blackhole' }, 'sport 53', ' from port 53', null],
    [{ ipproto: 'tcp', action: 'prohibit' }, 'ipproto tcp', ' by tcp', null],
    [{ sport_start: 60, sport_end: 70, action: 'unreachable' }, 'sport 60', ' from port 60-70', null],
    [{ dport: 68, ipproto: 'udp', table: '7' }, 'ipproto udp dport 68', ' by udp to port 68', elsewhere],
    [{ tos: '0x08', action: 'blackhole' }, 'tos 0x08', ' with TOS 0x08', null],
    [{ uid_start: 0, uid_end: 0, action: 'blackhole' }, '', '', null],
  ];
  // They are about other packets, or the kernel passes them over.
  const others = [
    { priority: 89, src: 'all', fwmark: '0x20', table: '7' },
    { priority: 90, src: 'all', ipproto: 'icmp', action: 'blackhole' },
    { priority: 91, src: 'all', uid_start: 1, uid_end: 9, action: 'blackhole' },
    { priority: 92, src: 'all', tos: '0x10', action: 'blackhole' },
    { priority: 93, src: 'all', dport_start: 1, dport_end: 60, action: 'blackhole' },
  ];
  const passed = { '': own, 'ipproto icmp': own, 'tos 0x10': own, 'dport 1': own };
  for (const [rule, query, kind, answer] of cases) {
    const { [query]: _, ...rest } = passed as Record<string, object>;
    const found = await detourOf({
      rules: [...others, { priority: 100, src: 'all', ...rule }],
      answers: answer === null ? rest : { ...rest, [query]: answer },
    });
    assert(found !== null);
    const way = answer === null ? 'are refused' : 'leave by eth0';
    assert(detourText(found).startsWith(`packets to machines${kind} ${way}`), detourText(found));
    assert.equal(ruleOf(found).priority, 100);
    assert.equal(detourRemedy(found).command, 'ip rule add to 192.168.100.0/24 lookup main pref 99');
  }
  assert.equal(await detourOf({ rules: others, answers: passed }), null);
});

paths('the kernel is asked about few of many kinds', async () => {
  const rules = Array.from({ length: 100 }, (_, at) => ({
    priority: at + 1,
    src: 'all',
    dport: at + 1,
    table: '7',
  }));
  const queries: string[] = [];
  const answer = (_: string, query: string) => {
    queries.push(query);
    return own;
  };
  await ask({ rules, answer });
  assert.deepEqual([queries.length, queries[1]], [9, 'dport 1']);
});

paths('what comes in by a link that does not forward is not a detour', async () => {
  const rules = [{ priority: 100, src: 'all', iif: 'eth0', table: '7' }];
  assert.equal(await detourOf({ rules, answers: { '': own } }), null);
});

for (const action of ['blackhole', 'prohibit', 'unreachable'])
  paths(`a rule, and a table, that refuse packets to machines (${action})`, async () => {
    const tables = [{ priority: 10, src: 'all', table: '5' }];
    const rule = { priority: 100, src: 'all', dst: '192.168.0.0', dstlen: 16, action };
    const refused = (rules: object[], routes: object[] = []) =>
      ask({ rules, routes, answer: only(machine, null) });
    const [byRule = null] = (await refused([...tables, rule])).detours;
    assert.equal(
      byRule && detourText(byRule),
      'packets to machines are refused: the routing rule of priority 100 is asked before the main table',
    );
    const routes = [
      { dst: '192.168.100.0/25', type: action, table: '5' },
      { dst: 'default', type: action, table: '6' },
    ];
    const rules = [...tables, { priority: 20, src: 'all', table: '6' }];
    const [byTable = null] = (await refused(rules, routes)).detours;
    assert.deepEqual(
      [ruleOf(byTable), byTable?.link],
      [{ kind: 'rule', table: '6', priority: 20, only: null }, null],
    );
    const other = { ...rule, dst: '10.0.0.0', dstlen: 8 };
    assert.deepEqual((await refused([other])).detours, []);
  });

paths('a rule about a part of the subnet, or one machine, is named with that part', async () => {
  const to = (dst: string, dstlen?: number) => [
    { priority: 80, src: 'all', dst, ...(dstlen === undefined ? {} : { dstlen }), table: '77' },
  ];
  const elsewhere = { dev: 'eth0', gateway: '203.0.113.2', table: '77' };
  const ofPart = await ask({ rules: to('192.168.100.128', 26), answer: only('192.168.100.1', elsewhere) });
  assert.deepEqual(ofPart.asked, ['192.168.100.128', '192.168.100.191']);
  assert.deepEqual(
    ofPart.detours.map(detour => [detourText(detour), detourRemedy(detour)]),
    [
      [
        'packets to 192.168.100.128/26 leave by eth0, not by k8s-br0: routing table 77 is asked before the main one',
        { command: 'ip rule add to 192.168.100.128/26 lookup main pref 79', mends: true },
      ],
    ],
  );
  const ofOne = await ask({ rules: to('192.168.100.155'), answer: () => elsewhere });
  assert.deepEqual(ofOne.asked, ['192.168.100.155']);
  assert.deepEqual(
    ofOne.detours.map(detour => detourRemedy(detour).command),
    ['ip rule add to 192.168.100.155 lookup main pref 79'],
  );
  for (const [dst, length] of [['192.168.100.1'], ['192.168.100.255'], ['10.0.0.0', 8]] as const)
    assert.deepEqual(await ask({ rules: to(dst, length), answer: () => null }), { detours: [], asked: [] });
});

paths('several rules are named at once, and the first machine of a part may have another way', async () => {
  const rules = [
    { priority: 70, src: 'all', dst: '192.168.100.7', action: 'prohibit' },
    { priority: 80, src: 'all', dst: '192.168.100.64', dstlen: 26, table: '77' },
  ];
  const answers = new Map<string, object | null>([
    ['192.168.100.7', null],
    ['192.168.100.64', own],
    ['192.168.100.127', { dev: 'eth0', table: '77' }],
  ]);
  const { detours } = await ask({ rules, answer: address => answers.get(address) ?? null });
  assert.deepEqual(
    detours.map(({ part, by }) => [part && formatPrefix(part), by.kind === 'rule' && by.priority]),
    [
      ['192.168.100.7/32', 70],
      ['192.168.100.64/26', 80],
    ],
  );
});

paths('a route to a part of the subnet, in a table that is asked early for every address', async () => {
  const routes = [
    { dst: '192.168.100.32/27', dev: 'ts0', table: '52' },
    { dst: '192.168.0.0/16', dev: 'k8s-br0', table: '52' },
    { dst: 'fd00::/8', dev: 'ts0', table: '52', pref: 'medium' },
  ];
  const rules = [{ priority: 5270, src: 'all', table: '52' }];
  const elsewhere = { dev: 'ts0', table: '52' };
  const { detours } = await ask({ rules, routes, answer: only('192.168.100.6', elsewhere) });
  assert.deepEqual(
    detours.map(detour => detourRemedy(detour).command),
    ['ip rule add to 192.168.100.32/27 lookup main pref 5269'],
  );
});

paths('a route of table local in the subnet that the kernel did not make', async () => {
  const local = { table: 'local', protocol: 'boot' };
  const kept = { dev: 'lo', type: 'local', cache: ['local'] };
  const found = async (route: object, answer: Host['answer']) => {
    const { detours, asked } = await ask({ rules: [], routes: [{ ...local, ...route }], answer });
    const [text = null] = detours.map(each => `${detourText(each)}: ${detourRemedy(each).command}`);
    return { text, asked };
  };
  assert.deepEqual(await found({ type: 'local', dst: '192.168.100.128/25', dev: 'lo' }, () => kept), {
    text: 'packets to 192.168.100.128/25 stay on this host: the route local 192.168.100.128/25 dev lo of table local is asked before the main table: ip route delete local 192.168.100.128/25 dev lo table local',
    asked: ['192.168.100.128', '192.168.100.254'],
  });
  // Where there are routing rules besides those of every host, the kernel names the table.
  const named = { ...kept, table: 'local' };
  const one = await found({ type: 'local', dst: '192.168.100.155', dev: 'lo' }, () => named);
  assert.match(one.text ?? '', /^packets to 192\.168\.100\.155 stay on this host/);
  const whole = await found({ type: 'local', dst: '192.168.100.0/24', dev: 'lo' }, () => kept);
  assert.match(whole.text ?? '', /^packets to machines stay on this host/);
  // The kernel names lo for a packet that the host keeps, whatever link the route has.
  const onBridge = await found({ type: 'local', dst: '192.168.100.155', dev: 'k8s-br0' }, () => kept);
  assert.match(onBridge.text ?? '', /: ip route delete local 192\.168\.100\.155 dev k8s-br0 table local$/);
  for (const type of ['blackhole', 'prohibit', 'unreachable', 'throw']) {
    const { text } = await found({ type, dst: '192.168.100.155' }, () => null);
    assert.equal(
      text,
      `packets to 192.168.100.155 are refused: the route ${type} 192.168.100.155 of table local is asked before the main table: ip route delete ${type} 192.168.100.155 table local`,
    );
  }
  const onUplink = { dev: 'eth0', gateway: '203.0.113.2' };
  const led = await found({ dst: '192.168.100.155', dev: 'eth0' }, () => onUplink);
  assert.match(
    led.text ?? '',
    /^packets to 192\.168\.100\.155 leave by eth0, not by k8s-br0: the route unicast /,
  );
  // Where the main table has a longer prefix, it is asked about it all the same.
  assert.equal((await found({ type: 'local', dst: '192.168.0.0/16', dev: 'lo' }, () => own)).text, null);
  for (const route of [
    { type: 'local', dst: '192.168.100.155', dev: 'k8s-br0', protocol: 'kernel' },
    { type: 'local', dst: '192.168.100.155', dev: 'lo', table: '88' },
    { type: 'local', dst: '10.0.0.7', dev: 'lo' },
    { type: 'local', dst: '192.168.100.1', dev: 'lo' },
  ])
    assert.deepEqual(await found(route, () => null), { text: null, asked: [] }, JSON.stringify(route));
});

paths('the kernel is asked about a few machines only, however many rules there are', async () => {
  const rules = Array.from({ length: 200 }, (_, at) => ({
    priority: at + 1,
    src: 'all',
    dst: `192.168.100.${at + 2}`,
    table: '77',
  }));
  assert.equal((await ask({ rules, answer: () => own })).asked.length, 16);
});

paths('no rule precedes one of priority 0: it is shown', async () => {
  const rules = [{ priority: 0, src: 'all', dst: '192.168.100.155', action: 'prohibit' }];
  const { detours } = await ask({ rules, answer: () => null });
  assert.deepEqual(detours.map(detourRemedy), [{ command: 'ip rule show pref 0', mends: false }]);
});

paths('the addresses of a link in a VRF are not networks of the host', () => {
  const address = { family: 'inet', local: '192.168.100.9', prefixlen: 24 };
  const link = { mtu: 1500, flags: ['UP'] };
  const links = [
    { ...link, ifindex: 1, ifname: 'red', linkinfo: { info_kind: 'vrf' } },
    { ...link, ifindex: 2, ifname: 'eth1', master: 'red', addr_info: [address] },
    { ...link, ifindex: 3, ifname: 'eth2', addr_info: [address] },
  ];
  const found = knownSubnets(parseLinksAndRoutes(`${JSON.stringify(links)}\n[]\n[]`));
  assert.deepEqual(
    found.map(each => each.link),
    ['eth2'],
  );
});

paths(
  'a route that sends to the next table (throw) is not a network of the host, others in such a table are',
  () => {
    const rules = [{ priority: 5270, src: 'all', table: '52' }];
    const routes = [
      { type: 'throw', dst: '192.168.100.0/24', table: '52' },
      { type: 'blackhole', dst: '192.168.101.0/24', table: '52' },
      { dst: '192.168.102.0/24', dev: 'eth1', table: '52' },
    ];
    const found = knownSubnets(
      parseLinksAndRoutes(`[]\n${JSON.stringify(routes)}\n${JSON.stringify(rules)}`),
    );
    assert.deepEqual(
      found.map(({ subnet }) => formatPrefix(subnet)),
      ['192.168.101.0/24', '192.168.102.0/24'],
    );
  },
);

paths.run();
