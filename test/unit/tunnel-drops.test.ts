// tunnel-drops.test.ts: tests how rules and policies of other programs that drop packets of tunnels are found.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { formatIp } from '../../src/address/ip.ts';
import { makeBaseChains } from '../../src/other-firewalls/base-chains.ts';
import { judgeTunnels, type TunnelDrop } from '../../src/other-firewalls/tunnel-drops.ts';
import { ip } from './builders.ts';

const drops = suite('tunnel drops');

const ends = { address: ip('10.0.0.1'), peers: [ip('10.0.0.2'), ip('10.0.0.3')], link: 'lan' };

function dropsOf(listings: Parameters<typeof makeBaseChains>[0]): TunnelDrop[] {
  return judgeTunnels(makeBaseChains(listings).ofPackets, ends);
}

/** Returns what drops packets, as `WAY PEERS CHAIN: RULE`. */
function droppedBy(listings: { nft?: string; saved?: string; hidden?: string }): string[] {
  return dropsOf(listings).map(
    ({ way, peers, chain, by, rule }) =>
      `${way} ${peers.map(formatIp).join()} ${chain}: ${by === 'policy' ? 'policy' : rule}`,
  );
}

/** Returns the listing of table filter of iptables with these rules. */
function listing(rules: readonly string[], policies = { INPUT: 'ACCEPT', OUTPUT: 'ACCEPT' }): string {
  const bases = Object.entries(policies).map(([chain, policy]) => `:${chain} ${policy} [0:0]`);
  const own = [':FORWARD DROP [0:0]', ':corp - [0:0]', ':ufw-before-input - [0:0]', ':ufw-not-local - [0:0]'];
  return ['*filter', ...bases, ...own, ...rules.map(rule => `-A ${rule}`), 'COMMIT', ''].join('\n');
}

const both = '10.0.0.2,10.0.0.3';

drops('a rule of iptables that drops packets of tunnels is found, with the hosts that it is about', () => {
  const cases: [rule: string, found: string[]][] = [
    ['INPUT -p udp -m udp --dport 4789 -j DROP', [`arriving ${both} INPUT`]],
    ['INPUT -s 10.0.0.3/32 -i lan -j REJECT', ['arriving 10.0.0.3 INPUT']],
    ['INPUT -p udp -m multiport --dports 53,4700:4800 -j DROP', [`arriving ${both} INPUT`]],
    ['OUTPUT -d 10.0.0.2/32 -o lan -p udp -j DROP', ['leaving 10.0.0.2 OUTPUT']],
    ['INPUT -m conntrack --ctstate NEW -j DROP', [`arriving ${both} INPUT`]],
    ['INPUT -m addrtype --dst-type LOCAL -p udp -j DROP', [`arriving ${both} INPUT`]],
  ];
  for (const [rule, found] of cases) {
    const text = rule.replace(/^\S+ /, '');
    const expected = found.map(each => `${each}: ${text}`);
    assert.deepEqual(droppedBy({ saved: listing([rule]) }), expected, rule);
    assert.deepEqual(droppedBy({ hidden: listing([rule]) }), expected, rule);
  }
});

drops('a rule about other packets, or perhaps none of a tunnel, is not', () => {
  for (const rule of [
    'INPUT -p udp -m udp --dport 8472 -j DROP',
    'INPUT -p tcp -m tcp --dport 4789 -j DROP',
    'INPUT -i wan -j DROP',
    'INPUT -s 10.0.0.9/32 -j DROP',
    'INPUT -m limit --limit 1/sec -j DROP',
    'INPUT -m conntrack --ctstate INVALID -j DROP',
    'INPUT -m addrtype --dst-type BROADCAST -j DROP',
    'FORWARD -j DROP',
  ])
    assert.deepEqual(droppedBy({ saved: listing([rule]) }), [], rule);
});

drops('a policy that drops is found where no rule may decide', () => {
  const closed = { INPUT: 'DROP', OUTPUT: 'ACCEPT' };
  assert.deepEqual(droppedBy({ saved: listing(['INPUT -i lo -j ACCEPT'], closed) }), [
    `arriving ${both} INPUT: policy`,
  ]);
  for (const rule of [
    'INPUT -p udp -m udp --dport 4789 -j ACCEPT',
    'INPUT -m set --match-set friends src -j ACCEPT',
    'INPUT -j corp',
  ])
    assert.deepEqual(
      droppedBy({ saved: listing([rule, 'corp -s 10.0.0.0/24 -j ACCEPT'], closed) }),
      [],
      rule,
    );
});

drops('the policy of ufw is found through its chains, and is told to ufw', () => {
  const rules = [
    'INPUT -j ufw-before-input',
    'ufw-before-input -i lo -j ACCEPT',
    'ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    'ufw-before-input -p udp -m udp --sport 67 --dport 68 -j ACCEPT',
    'ufw-before-input -j ufw-not-local',
    'ufw-not-local -m addrtype --dst-type LOCAL -j RETURN',
    'ufw-not-local -m limit --limit 3/min --limit-burst 10 -j LOG',
    'ufw-not-local -j DROP',
    'ufw-before-input -d 224.0.0.251/32 -p udp -m udp --dport 5353 -j ACCEPT',
  ];
  const [found, ...others] = dropsOf({ saved: listing(rules, { INPUT: 'DROP', OUTPUT: 'ACCEPT' }) });
  assert.deepEqual(others, []);
  assert.deepEqual([found?.by, found?.owner], ['policy', 'ufw']);
});

/** The listing of a chain at the hook input of nftables, with these statements as rules. */
function nftListing(table: string, policy: string, ...rules: readonly object[][]): string {
  const chain = { family: 'ip', table, name: 'in', type: 'filter', hook: 'input', prio: 0, policy };
  return JSON.stringify({
    nftables: [
      { table: { family: 'ip', name: table } },
      { chain },
      ...rules.map((expr, index) => ({
        rule: { family: 'ip', table, chain: 'in', handle: index + 3, expr },
      })),
    ],
  });
}

const dport = (right: number) => ({
  match: { op: '==', left: { payload: { protocol: 'udp', field: 'dport' } }, right },
});

drops('rules and policies of nftables are found, but not those of virlan', () => {
  assert.deepEqual(droppedBy({ nft: nftListing('corp', 'accept', [dport(4789), { drop: null }]) }), [
    `arriving ${both} in: 3`,
  ]);
  assert.deepEqual(droppedBy({ nft: nftListing('corp', 'drop', [dport(53), { accept: null }]) }), [
    `arriving ${both} in: policy`,
  ]);
  assert.deepEqual(droppedBy({ nft: nftListing('corp', 'drop', [dport(4789), { accept: null }]) }), []);
  assert.deepEqual(droppedBy({ nft: nftListing('virlan-k8s-br0', 'drop') }), []);
  const [found] = dropsOf({ nft: nftListing('firewalld', 'accept', [{ reject: null }]) });
  assert.equal(found?.owner, 'firewalld');
});

drops.run();
