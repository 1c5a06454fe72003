// device-drops.test.ts: tests which chains at the ingress and egress of links are named as those that dropped packets of
// a probe.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { findDeviceDrops } from '../../src/diagnosis/probe/device-drops.ts';
import { commandAgainst, commandThatShows } from '../../src/diagnosis/words/drop-remedy.ts';
import { makeBaseChains } from '../../src/other-firewalls/base-chains.ts';
import { probedPath as path } from './builders.ts';

const devices = suite('device drops');

/** Holds what `nft --json list ruleset` and `nft list chains` print. */
type Listings = Parameters<typeof makeBaseChains>[0];

/** Returns the listings of a chain `c` with these rules, each of which has a handle from 1. */
function listed(
  [hook, links]: readonly [hook: string, links: string],
  ...rules: readonly (readonly object[])[]
): Listings {
  const place = { family: 'netdev', table: 't' };
  const policy = rules.length === 0 ? 'drop' : 'accept';
  const nft = JSON.stringify({
    nftables: [
      { table: { family: 'netdev', name: 't', handle: 1 } },
      { chain: { ...place, name: 'c', type: 'filter', hook, prio: 0, policy } },
      ...rules.map((expr, index) => ({ rule: { ...place, chain: 'c', handle: index + 1, expr } })),
    ],
  });
  const other =
    'table inet x {\n\tchain z {\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n}';
  const line = `\t\ttype filter hook ${hook} ${links} priority filter; policy ${policy};`;
  return { nft, devices: `${other}\ntable netdev t {\n\tchain c {\n${line}\n\t}\n}\n` };
}

/** Returns the rules that drop dhcp, dns, outgoing and returning packets: `-` for none. */
function dropsOf(listings: Listings): string {
  const drops = findDeviceDrops(makeBaseChains(listings).ofPackets, path);
  return (['dhcp', 'dns', 'outgoing', 'returning'] as const)
    .map(kind => (drops[kind] == null ? '-' : (drops[kind].rule ?? 'policy')))
    .join(' ');
}

const drop = { drop: null };
const field = (protocol: string, name: string, right: unknown) => ({
  match: { op: '==', left: { payload: { protocol, field: name } }, right },
});
const subnet = field('ip', 'saddr', { prefix: { addr: '192.168.100.0', len: 24 } });
const atBridge = ['ingress', 'device "k8s-br0"'] as const;
const atUplink = ['ingress', 'devices = { lan0, eth0 }'] as const;

devices('packets are dropped at the ingress of the bridge or of the uplink, or at their egress', () => {
  const cases: [title: string, listings: Listings, expected: string][] = [
    ['all of the bridge', listed(atBridge, [drop]), '1 1 1 -'],
    ['DHCP alone', listed(atBridge, [field('udp', 'dport', 67), drop]), '1 - - -'],
    ['the subnet', listed(atBridge, [subnet, drop]), '- 1 1 -'],
    ['after what is accepted', listed(atBridge, [{ accept: null }], [drop]), '- - - -'],
    ['by policy', listed(atBridge), 'policy policy policy -'],
    ['answers of the outside', listed(atUplink, [drop]), '- - - 1'],
    ['an address of somebody else', listed(atUplink, [field('ip', 'saddr', '10.0.0.1'), drop]), '- - - -'],
    ['another link', listed(['ingress', 'device "eth1"'], [drop]), '- - - -'],
    ['what leaves by the uplink', listed(['egress', 'device "eth0"'], [drop]), '- - 1 -'],
    ['answers that leave by the bridge', listed(['egress', 'device "k8s-br0"'], [drop]), '1 1 - 1'],
    // The datagram of the probe arrives.
    ['the ping alone', listed(atBridge, [field('ip', 'protocol', 1), drop]), '- - - -'],
    // A condition that cannot be judged proves nothing.
    ['unknown', listed(atBridge, [field('@ll', 'x', 1), drop]), '- - - -'],
    ['no ruleset', { nft: 'not JSON' }, '- - - -'],
  ];
  for (const [title, listings, expected] of cases) assert.equal(dropsOf(listings), expected, title);
});

devices('the command lets what comes from the bridge pass; what comes from outside is shown', () => {
  const { dhcp } = findDeviceDrops(makeBaseChains(listed(atBridge, [drop])).ofPackets, path);
  assert(dhcp);
  assert.equal(
    commandAgainst(dhcp, 'dhcp', 'k8s-br0'),
    'nft insert rule netdev t c iifname k8s-br0 udp dport 67 accept',
  );
  const { returning } = findDeviceDrops(makeBaseChains(listed(atUplink, [drop])).ofPackets, path);
  assert(returning);
  assert.equal(commandAgainst(returning, 'returning', 'k8s-br0'), null);
  assert.equal(commandThatShows(returning), 'nft -a list chain netdev t c');
});

devices.run();
