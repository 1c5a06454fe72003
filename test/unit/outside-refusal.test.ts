// outside-refusal.test.ts: tests which rules of routing are named because they refuse machines alone the way outside.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { CommandError } from '../../src/errors.ts';
import { parseLinksAndRoutes } from '../../src/network/links.ts';
import { findOutsideRefusal } from '../../src/network/outside-refusal.ts';
import { commandThatShowsRefusal, outsideRefusalText } from '../../src/network/route-text.ts';
import { network } from './builders.ts';

const refusals = suite('outside refusal');

interface Found {
  /** Rules, as ip lists them. */
  readonly rules: readonly object[];
  readonly routes?: readonly object[];
  /** Who has a way to the outside, as the kernel answers. */
  readonly ways?: readonly ('machines' | 'host')[];
}

const prohibit = { priority: 90, src: 'all', iif: 'k8s-br0', action: 'prohibit' };

/** Returns the table and the priority of the rule that is found, and how many questions the kernel was asked. */
async function refusalOf({ rules, routes = [], ways = ['host'] }: Found) {
  let asked = 0;
  const run = async (_program: string, args: readonly string[]) => {
    asked += 1;
    const sender = args.includes('iif') ? 'machines' : 'host';
    if (ways.includes(sender)) return '[{"gateway":"203.0.113.2","dev":"eth0"}]';
    throw new CommandError('refused', { reason: 'failed', exitCode: 2, stderr: 'RTNETLINK answers: x' });
  };
  const reading = parseLinksAndRoutes(`[]\n${JSON.stringify(routes)}\n${JSON.stringify(rules)}`);
  const found = await findOutsideRefusal({ run }, network(), reading);
  return { found: found === null ? null : `${found.table} ${found.priority}`, asked };
}

async function nameOf(found: Found): Promise<string | null> {
  return (await refusalOf(found)).found;
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
    { ...prohibit, iif: 'lo', src: '10.0.0.0', srclen: 8 },
    { ...prohibit, src: '192.168.101.0', srclen: 24 },
    { ...prohibit, dst: '10.0.0.0', dstlen: 8 },
    { ...prohibit, fwmark: '0x20' },
    { ...prohibit, priority: 32_767 },
  ];
  for (const rule of others)
    assert.deepEqual(await refusalOf({ rules: [rule] }), { found: null, asked: 0 }, JSON.stringify(rule));
  assert.equal(await nameOf({ rules: [...others, { ...prohibit, priority: 95 }] }), 'null 95');
});

refusals('nothing where machines have a way, or the host has none either', async () => {
  assert.equal(await nameOf({ rules: [prohibit], ways: ['machines', 'host'] }), null);
  assert.equal(await nameOf({ rules: [prohibit], ways: [] }), null);
});

refusals('the text names the rule and its table, the command shows both', () => {
  const refusal = { bridge: 'k8s-br0', table: 'a b', priority: 90 };
  assert.equal(
    outsideRefusalText(refusal),
    'what machines send to the outside is refused by the routing rule of priority 90, by a route of table a b; ' +
      'this host itself has a way there',
  );
  assert.equal(commandThatShowsRefusal(refusal), "ip rule show pref 90; ip route show table 'a b'");
});

refusals.run();
