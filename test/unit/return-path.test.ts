// return-path.test.ts: tests which rules of routing are named because answers to machines do not reach them.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { formatPrefix } from '../../src/address/ip.ts';
import { CommandError } from '../../src/errors.ts';
import { knownSubnets, parseLinksAndRoutes } from '../../src/network/links.ts';
import { type Detour, findDetour } from '../../src/network/return-path.ts';
import { detourRemedy, detourText } from '../../src/network/route-text.ts';
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

async function detourOf({ rules, routes = [], answers }: Found): Promise<Detour | null> {
  const standard = ['local', 'main', 'default'].map((table, at) => ({
    priority: [0, 32_766, 32_767][at],
    src: 'all',
    table,
  }));
  const links = ['k8s-br0', 'eth0'].map((ifname, at) => ({ ifindex: at, ifname, mtu: 1500, flags: ['UP'] }));
  const reading = [links, routes, [...standard, ...rules]].map(each => JSON.stringify(each)).join('\n');
  const run = async (program: string, args: readonly string[]) => {
    assert.equal(program, 'ip');
    const [, , , address, ...rest] = args;
    assert.equal(address, machine);
    const answer = answers[rest.join(' ')];
    if (answer !== undefined) return JSON.stringify([answer]);
    throw new CommandError('refused', {
      reason: 'failed',
      exitCode: 2,
      stderr: 'RTNETLINK answers',
      cause: null,
    });
  };
  return findDetour({ run }, network(), parseLinksAndRoutes(reading));
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
    assert.deepEqual([found?.table, found?.link], ['52', 'ts0'], JSON.stringify(rule));
  }
});

paths('a table for what the subnet sends, which answers of the gateway meet too', async () => {
  const bySource = { priority: 1001, src: '192.168.100.0', srclen: 24, table: '100' };
  const elsewhere = { dst: machine, dev: 'wg0', table: '100' };
  const found = await detourOf({
    rules: [bySource],
    answers: { '': own, 'from 192.168.100.1': elsewhere },
  });
  assert.deepEqual(
    [found?.table, found?.link, found && detourRemedy(found)],
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
  assert.deepEqual([found?.priority, found?.link], [101, 'eth0']);
});

paths('what comes in by a link that does not forward is no detour', async () => {
  const rules = [{ priority: 100, src: 'all', iif: 'eth0', table: '7' }];
  assert.equal(await detourOf({ rules, answers: { '': own } }), null);
});

for (const action of ['blackhole', 'prohibit', 'unreachable'])
  paths(`a rule, and a table, that refuse packets to machines (${action})`, async () => {
    const tables = [{ priority: 10, src: 'all', table: '5' }];
    const rule = { priority: 100, src: 'all', dst: '192.168.0.0', dstlen: 16, action };
    const byRule = await detourOf({ rules: [...tables, rule], answers: {} });
    assert.equal(
      byRule && detourText(byRule),
      'packets to machines are refused: the routing rule of priority 100 is asked before the main table',
    );
    const routes = [
      { dst: '192.168.100.0/25', type: action, table: '5' },
      { dst: 'default', type: action, table: '6' },
    ];
    const byTable = await detourOf({
      rules: [...tables, { priority: 20, src: 'all', table: '6' }],
      routes,
      answers: {},
    });
    assert.deepEqual([byTable?.table, byTable?.priority, byTable?.link], ['6', 20, null]);
    const other = { ...rule, dst: '10.0.0.0', dstlen: 8 };
    assert.equal(await detourOf({ rules: [other], answers: {} }), null);
  });

paths('the addresses of a link in a VRF are no networks of the host', () => {
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
  'a route that sends to the next table (throw) is no network of the host, others in such a table are',
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
