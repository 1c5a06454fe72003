// rule-drops.test.ts: tests which rules of other programs are named as those that drop packets of one machine.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { findHandedDrop } from '../../src/diagnosis/doctor/bridge-drops.ts';
import { findRuleDrops } from '../../src/diagnosis/probe/rule-drops.ts';
import { makeBaseChains } from '../../src/other-firewalls/base-chains.ts';
import { ip, mac, probedPath } from './builders.ts';

const drops = suite('rule drops');

const path = { ...probedPath, ip: ip('192.168.100.7'), mac: mac(1), tap: 'vnet0' };

/** Returns the kinds of packets that are dropped, each with its rule. */
function lostBy(listings: Parameters<typeof makeBaseChains>[0], of = path): Record<string, string | null> {
  const { ofPackets, ofFrames } = makeBaseChains(listings);
  const found = Object.entries(findRuleDrops([...ofPackets, ...ofFrames], of));
  return Object.fromEntries(found.map(([kind, { drop }]) => [kind, drop.rule]));
}

/** Returns the listing of iptables with these rules in a table. */
function saved(table: string, ...rules: readonly string[]): { readonly saved: string } {
  const names = ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'];
  const chains = names.map(name => `:${name} ACCEPT [0:0]`);
  return { saved: [`*${table}`, ...chains, ':corp - [0:0]', ...rules, 'COMMIT', ''].join('\n') };
}

function kindsLostBy(table: string, ...rules: readonly string[]): string[] {
  return Object.keys(lostBy(saved(table, ...rules)));
}

drops('a rule of iptables about one machine, its MAC, or all TCP to the outside', () => {
  const own = '192.168.100.7/32';
  for (const [rule, lost] of [
    [`-A FORWARD -s ${own} -j DROP`, ['connecting']],
    [`-A FORWARD -d ${own} -j REJECT --reject-with icmp-port-unreachable`, ['connected']],
    [`-A INPUT -s ${own} -j DROP`, ['dns']],
    ['-A INPUT -m mac --mac-source 52:54:00:00:00:01 -j DROP', ['dhcp', 'dns']],
    ['-A FORWARD -p tcp -j DROP', ['connecting', 'connected']],
    [`-A OUTPUT -d ${own} -j DROP`, ['dns']],
    // Not for certain, or others.
    ['-A FORWARD -p tcp -m tcp --dport 25 -j DROP', []],
    ['-A FORWARD -s 192.168.100.8/32 -j DROP', []],
    ['-A FORWARD -m mac --mac-source 52:54:00:00:00:02 -j DROP', []],
    ['-A FORWARD -p icmp -j DROP', []],
    ['-A FORWARD -m set --match-set banned src -j DROP', []],
    [`-A POSTROUTING -s ${own} -j DROP`, ['connecting']],
  ] as const)
    assert.deepEqual(kindsLostBy('filter', rule), lost, rule);
  assert.deepEqual(kindsLostBy('filter', '-A FORWARD -i k8s-br0 -j ACCEPT', '-A FORWARD -p tcp -j DROP'), [
    'connected',
  ]);
  assert.deepEqual(kindsLostBy('raw', `-A PREROUTING -s ${own} -j DROP`), ['dns', 'connecting']);
});

drops('without a way to the outside, only what is for the host is judged', () => {
  const all = saved('filter', '-A INPUT -j DROP', '-A FORWARD -j DROP');
  assert.deepEqual(Object.keys(lostBy(all, { ...path, outside: null, nextHop: null })), ['dhcp', 'dns']);
  assert.deepEqual(Object.keys(lostBy(all)), ['dhcp', 'dns', 'connecting', 'connected']);
});

drops("virlan's own chains are not judged", () => {
  const own = ['-A FORWARD -j VIRLAN-FWD-k8s-br0', '-A VIRLAN-FWD-k8s-br0 -i k8s-br0 -j DROP'];
  const { saved: text } = saved('filter', ...own);
  assert.deepEqual(lostBy({ saved: text.replace(':corp', ':VIRLAN-FWD-k8s-br0') }), {});
});

/** Returns what nft lists of one chain with one rule. */
function nft(family: string, hook: string, prio: number, expr: readonly object[], link = '') {
  const place = { family, table: 't' };
  const nftables = [
    { table: { family, name: 't' } },
    { set: { ...place, name: 'banned', elem: ['192.168.100.7', { elem: { val: '192.168.100.9' } }] } },
    { chain: { ...place, name: 'c', type: 'filter', hook, prio, policy: 'accept' } },
    { rule: { ...place, chain: 'c', handle: 7, expr } },
  ];
  const devices = `table ${family} t {\n\tchain c {\n\t\ttype filter hook ${hook} device "${link}" priority 0; policy accept;\n\t}\n}\n`;
  return { nft: JSON.stringify({ nftables }), devices };
}

const drop = { drop: null };
const field = (protocol: string, name: string, right: unknown) => ({
  match: { op: '==', left: { payload: { protocol, field: name } }, right },
});
const meta = (key: string, right: string) => ({ match: { op: '==', left: { meta: { key } }, right } });

drops('a rule of nftables, by a set, a MAC or the port of the machine', () => {
  const banned = field('ip', 'saddr', '@banned');
  const kinds = (listing: ReturnType<typeof nft>) => Object.keys(lostBy(listing));
  assert.deepEqual(lostBy(nft('inet', 'input', -1, [banned, drop])), { dns: '7' });
  assert.deepEqual(kinds(nft('inet', 'forward', -1, [banned, drop])), ['connecting']);
  const ofMac = field('ether', 'saddr', '52:54:00:00:00:01');
  assert.deepEqual(kinds(nft('ip', 'prerouting', -300, [ofMac, drop])), ['dhcp', 'dns', 'connecting']);
  assert.deepEqual(kinds(nft('netdev', 'ingress', 0, [drop], 'vnet0')), ['dhcp', 'dns', 'connecting']);
  assert.deepEqual(kinds(nft('netdev', 'egress', 0, [drop], 'vnet0')), ['dhcp', 'dns', 'connected']);
  assert.deepEqual(kinds(nft('netdev', 'ingress', 0, [drop], 'vnet1')), []);
  const atTap = meta('iifname', 'vnet0');
  assert.deepEqual(kinds(nft('bridge', 'input', 0, [atTap, drop])), ['dhcp', 'dns']);
  assert.deepEqual(kinds(nft('bridge', 'prerouting', 0, [atTap, drop])), ['dhcp', 'dns', 'connecting']);
  assert.deepEqual(kinds(nft('bridge', 'forward', 0, [drop])), []);
  // A masqueraded packet no longer has the address of the machine.
  assert.deepEqual(kinds(nft('ip', 'postrouting', 300, [banned, drop])), []);
});

drops('rules of IPv4 that frames from port to port meet where br_netfilter hands them over', () => {
  const place = (rule: string) => findHandedDrop(makeBaseChains(saved('filter', rule)).ofPackets, 'k8s-br0');
  for (const [rule, isFound] of [
    ['-A FORWARD -i k8s-br0 -o k8s-br0 -j DROP', true],
    ['-A FORWARD -m physdev --physdev-is-bridged -j DROP', true],
    ['-A FORWARD -m physdev --physdev-in vnet3 -j DROP', false],
    ['-A FORWARD -i k8s-br0 -o eth0 -j DROP', false],
    ['-A FORWARD ! -i k8s-br0 -j DROP', false],
    ['-A INPUT -j DROP', false],
  ] as const)
    assert.equal(place(rule)?.drop.rule ?? null, isFound ? rule.replace('-A FORWARD ', '') : null, rule);
});

drops.run();
