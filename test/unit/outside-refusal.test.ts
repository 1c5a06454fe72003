// outside-refusal.test.ts: tests which rules of routing are named because they refuse machines alone the way outside.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { prefixOf } from '../../src/address/ip.ts';
import { CommandError } from '../../src/errors.ts';
import { parseLinksAndRoutes } from '../../src/network/kernel/links.ts';
import { queryOf, readRule } from '../../src/network/kernel/routing-rules.ts';
import { findOutsideRefusals } from '../../src/network/routes/outside-refusal.ts';
import { commandThatShowsRefusal, outsideRefusalText } from '../../src/network/routes/route-text.ts';
import { partText } from '../../src/network/routes/subnet-parts.ts';
import { ip, network } from './builders.ts';

const refusals = suite('outside refusal');

interface Found {
  /** Rules, as ip lists them. */
  readonly rules: readonly object[];
  readonly routes?: readonly object[];
  /** Names the senders that the kernel has a route to the outside for: `host`, `machines` for all of them, or addresses. */
  readonly ways?: readonly string[];
}

const prohibit = { priority: 90, src: 'all', iif: 'k8s-br0', action: 'prohibit' };

/** Returns the part, the table and the priority of each rule that is found, and the senders that were asked about. */
async function refusalsOf({ rules, routes = [], ways = ['host'] }: Found) {
  const asked = new Set<string>();
  const run = async (_program: string, args: readonly string[]) => {
    const sender = args.includes('iif') ? (args[args.indexOf('from') + 1] ?? '') : 'host';
    asked.add(sender);
    if (ways.includes(sender) || (sender !== 'host' && ways.includes('machines')))
      return '[{"gateway":"203.0.113.2","dev":"eth0"}]';
    throw new CommandError('refused', { reason: 'failed', exitCode: 2, stderr: 'RTNETLINK answers: x' });
  };
  const reading = parseLinksAndRoutes(`[]\n${JSON.stringify(routes)}\n${JSON.stringify(rules)}`);
  const found = await findOutsideRefusals({ run }, network(), reading);
  const names = found.map(
    ({ part, table, priority }) => `${part === null ? '' : `${partText(part)} `}${table} ${priority}`,
  );
  return { names, asked: [...asked] };
}

async function nameOf(found: Found): Promise<string | null> {
  return (await refusalsOf(found)).names.join(', ') || null;
}

refusals('a rule about what comes in by the bridge, or from the subnet', async () => {
  assert.equal(await nameOf({ rules: [prohibit] }), 'null 90');
  const bySource = { priority: 91, src: '192.168.100.0', srclen: 24, action: 'blackhole' };
  assert.equal(await nameOf({ rules: [bySource] }), 'null 91');
});

for (const type of ['blackhole', 'prohibit', 'unreachable'])
  refusals(`a rule to a table that refuses packets to the outside (${type})`, async () => {
    const rules = [{ priority: 90, src: '192.168.100.0', srclen: 24, table: '100' }];
    assert.equal(await nameOf({ rules, routes: [{ type, dst: 'default', table: '100' }] }), '100 90');
    assert.equal(await nameOf({ rules, routes: [{ type, dst: '10.0.0.0/8', table: '100' }] }), null);
  });

refusals('rules about other packets are not named, and the kernel is not asked', async () => {
  const others = [
    { ...prohibit, iif: 'eth1' },
    { ...prohibit, iif: 'lo', src: '192.168.100.1' },
    { ...prohibit, iif: 'lo', src: '10.0.0.0', srclen: 8 },
    { ...prohibit, src: '192.168.101.0', srclen: 24 },
    { ...prohibit, dst: '10.0.0.0', dstlen: 8 },
    { ...prohibit, fwmark: '0x20' },
    { ...prohibit, priority: 32_767 },
  ];
  for (const rule of others)
    assert.deepEqual(await refusalsOf({ rules: [rule] }), { names: [], asked: [] }, JSON.stringify(rule));
  assert.equal(await nameOf({ rules: [...others, { ...prohibit, priority: 95 }] }), 'null 95');
});

refusals(
  'rules about some machines: each is asked about, and named with its part of the subnet',
  async () => {
    const from = (src: string, srclen: number, priority: number) => ({
      priority,
      src,
      ...(srclen === 32 ? {} : { srclen }),
      action: 'prohibit',
    });
    const rules = [
      from('192.168.100.155', 32, 81),
      from('192.168.100.128', 26, 82),
      from('10.0.0.7', 32, 83),
    ];
    assert.deepEqual(await refusalsOf({ rules }), {
      names: ['192.168.100.155 null 81', '192.168.100.128/26 null 82'],
      asked: ['192.168.100.155', '192.168.100.128', 'host'],
    });
    // The first machine of a part may have a way by another rule.
    const found = await refusalsOf({ rules, ways: ['host', '192.168.100.155', '192.168.100.128'] });
    assert.deepEqual(found.names, ['192.168.100.128/26 null 82']);
  },
);

refusals('the kernel is asked about a few machines only, however many rules there are', async () => {
  const rules = Array.from({ length: 200 }, (_, at) => ({
    priority: at + 1,
    src: `192.168.100.${at + 2}`,
    action: 'prohibit',
  }));
  const { asked } = await refusalsOf({ rules, ways: ['host', 'machines'] });
  assert.equal(asked.length, 16);
});

refusals('nothing where machines have a way, or the host has none either', async () => {
  assert.equal(await nameOf({ rules: [prohibit], ways: ['machines', 'host'] }), null);
  assert.equal(await nameOf({ rules: [prohibit], ways: [] }), null);
});

refusals('rules about one kind of packets, each asked about such a packet', async () => {
  const mail = { ...prohibit, priority: 80, ipproto: 'tcp', dport_start: 25, dport_end: 26, tos: '0x10' };
  const tunnel = { ...prohibit, priority: 81, ipproto: 'gre' };
  assert.equal(await nameOf({ rules: [mail, tunnel] }), 'null 80', 'the kernel cannot be asked about GRE');
  assert.equal(await nameOf({ rules: [mail, prohibit] }), 'null 90', 'all is refused');
  const only = readRule(mail).only;
  assert(only);
  assert.deepEqual(queryOf(only), ['ipproto', 'tcp', 'dport', '25', 'tos', '0x10']);
  assert.equal(readRule({ ...mail, not: null }).only, null);
});

refusals('the text names the rule and its table, the command shows both', () => {
  const refusal = { bridge: 'k8s-br0', part: null, table: 'a b', priority: 90, only: null };
  assert.equal(
    outsideRefusalText(refusal),
    'what machines send to the outside is refused by the routing rule of priority 90, by a route of table a b; ' +
      'this host itself has a way there',
  );
  assert.match(
    outsideRefusalText({ ...refusal, part: prefixOf(ip('192.168.100.155'), 32) }),
    /^what 192\.168\.100\.155 sends to the outside is refused /,
  );
  assert.equal(commandThatShowsRefusal(refusal), "ip rule show pref 90; ip route show table 'a b'");
});

refusals.run();
