// The words for findings of a probe.
import type { TakingPolicy } from '../../network/routes/ipsec-policies.ts';
import { mainTableFirst } from '../../network/routes/route-text.ts';
import { decidingKeys } from '../../other-firewalls/own-chain-text.ts';
import type { ProbeDetails } from '../details.ts';
import type { Fix } from '../finding.ts';
import type { Drop, Packet } from '../packet-drop.ts';
import {
  commandAgainst,
  commandAgainstDnsTranslation,
  commandAgainstSource,
  commandThatShows,
  isReversePathFilter,
} from './drop-remedy.ts';
import { exceptionFrom } from './ipsec-remedy.ts';
import { fixBy, repairs, showsMore, virlanRepairs, type Words } from './row.ts';

/** Longest part of another program's rule that a sentence repeats, in characters. */
const maxRuleLength = 120;

/** A port that waited less counts as forwarding at once: STP takes seconds. */
const maxAtOnceMs = 100;

export const probeWords: Words<keyof ProbeDetails> = {
  'probe-without-nft': { seen: () => 'nft does not work' },
  'probe-without-bridge': { seen: ({ bridge }) => `${bridge} is not there, or not up` },
  'probe-without-dnsmasq': { seen: () => 'dnsmasq does not run' },
  'probe-without-address': { seen: () => 'no address of dhcp-range is free for a probe' },
  'probe-without-block': {
    seen: () => 'this host has claimed no addresses from etcd yet: the probe is sent when it has',
  },
  'probe-error': { seen: ({ message }) => message },
  'not-reached': { seen: () => 'the probe did not get this far' },
  'probe-not-leased': { seen: () => 'the probe has no lease' },
  'probe-port-forwards': {
    seen: ({ waitedMs }) =>
      waitedMs < maxAtOnceMs ? 'forwards at once' : `forwards after ${(waitedMs / 1000).toFixed(1)} s of STP`,
  },
  'probe-port-waits': {
    seen: ({ bridge }) => `${bridge} keeps a new port from forwarding: it waits too long for STP`,
    fix: ({ bridge }) => showsMore(`bridge -d link show; ip -d link show ${bridge}`),
  },
  'probe-leased': { seen: ({ ip }) => `${ip} leased as reserved` },
  'wrong-lease': {
    seen: ({ bridge, leased, reserved }) =>
      `dnsmasq leased ${leased} where ${reserved} was reserved: another DHCP server answers on ${bridge}, ` +
      'or dnsmasq does not read its hostsfile',
    fix: watchDhcp,
  },
  'offer-withdrawn': {
    seen: ({ bridge }) => `a DHCP server on ${bridge} refuses the address that was offered`,
    fix: watchDhcp,
  },
  'dhcp-silent': {
    seen: ({ bridge, after }) => `no answer to a DHCP ${after} on ${bridge}, though dnsmasq runs there`,
    fix: watchDhcp,
  },
  'dhcp-not-running': {
    seen: ({ gateway, after }) => `no answer to a DHCP ${after}: no dnsmasq runs for ${gateway}`,
    fix: () => virlanRepairs(),
  },
  'packet-dropped': {
    seen: ({ packet, drop }) => `${named(packet)} is dropped by ${place(drop)}`,
    fix: ({ packet, drop, bridge }) => {
      const command = commandAgainst(drop, packet.kind, bridge);
      return command === null ? showsMore(commandThatShows(drop)) : repairs(command);
    },
  },
  'dropped-by-virlan': {
    seen: ({ packet, drop, own }) =>
      `${named(packet)} is dropped by ${place(drop)}, which is virlan's own: ${decidingKeys(own, drop.links.in)}`,
    fix: ({ drop }) => showsMore(commandThatShows(drop)),
  },
  'dropped-by-zone': {
    seen: ({ packet, drop, by }) =>
      `${named(packet)} is dropped by ${place(drop)}: machines' addresses are in the source ` +
      `${by.source} of firewalld's zone ${by.zone}, which comes before the zone of their bridge: ` +
      'remove the source, or choose another subnet in virlan.ini',
    fix: ({ by }) => {
      const command = commandAgainstSource(by);
      return command === null ? showsMore('firewall-cmd --get-active-zones') : repairs(command);
    },
  },
  'probe-name-known': { seen: ({ gateway }) => `${gateway} knows the probe by its name` },
  'probe-name-unknown': {
    seen: ({ gateway }) => `the DNS of ${gateway} does not know a name that has just got its lease`,
    fix: () => virlanRepairs(),
  },
  'dns-redirected': {
    seen: ({ gateway, by }) => `DNS queries of machines to ${gateway} are sent elsewhere by ${place(by)}`,
    fix: ({ gateway, by, bridge }) => {
      const command = commandAgainstDnsTranslation(by, bridge, gateway);
      return command === null ? showsMore(commandThatShows(by)) : repairs(command);
    },
  },
  'arp-silent': {
    seen: ({ gateway, bridge }) =>
      `machines and ${gateway} do not find each other by ARP on ${bridge}: ` +
      'a rule of the family arp, bridge or netdev drops it, or arp_ignore forbids an answer',
    fix: ({ bridge }) =>
      showsMore(`nft list ruleset; sysctl net.ipv4.conf.all.arp_ignore net.ipv4.conf.${bridge}.arp_ignore`),
  },
  'dns-silent': {
    seen: ({ gateway, code }) => `the DNS of ${gateway} does not answer a machine: ${code}`,
    fix: () => showsMore('ss -lunp sport = :53'),
  },
  'outside-unreachable': { seen: () => 'what machines send has no way to the outside' },
  'next-hop-unknown': { seen: ({ dev }) => `${dev} has no next hop to ask` },
  'packets-not-counted': { seen: () => 'nft does not work on this host: packets cannot be counted' },
  'silence-unexplained': {
    seen: ({ nextHop }) => `${nextHop} does not answer a machine, and without nft the reason cannot be seen`,
  },
  'lost-before-host': {
    seen: ({ nextHop }) =>
      `a packet to ${nextHop} does not get from its port to the host: ` +
      'a rule of the bridge family, or of ebtables, stops it',
    fix: listRules,
  },
  'lost-in-host': {
    seen: ({ nextHop, bridge, dev }) =>
      `a packet to ${nextHop} comes in by ${bridge} and does not leave by ${dev}`,
    fix: listRules,
  },
  'nothing-forwarded': { seen: () => 'no packet is forwarded' },
  forwarded: { seen: ({ dev }) => `leaves by ${dev}` },
  'not-masqueraded': {
    seen: ({ dev }) =>
      `packets leave by ${dev} with a machine's own address, to which the outside has no route: ` +
      'something keeps them from being masqueraded',
    fix: listRules,
  },
  'not-tracked': {
    seen: ({ dev, by }) =>
      `packets leave by ${dev} with a machine's own address, to which the outside has no route: ` +
      `they are not tracked, by ${place(by)}`,
    fix: ({ by }) => showsMore(commandThatShows(by)),
  },
  'answer-not-tracked': {
    seen: ({ nextHop, by }) =>
      `${nextHop} answers, and its answers stay on this host: connection tracking does not know what they answer, ` +
      `because of ${place(by)}`,
    fix: ({ by }) => showsMore(commandThatShows(by)),
  },
  masqueraded: { seen: () => 'leaves with the address of the host' },
  'own-address-kept': { seen: () => 'leaves with its own address' },
  'own-address-lost': {
    seen: ({ dev }) =>
      `packets leave by ${dev} with the address of this host, though mode = routed: a rule of another program translates it`,
    fix: listRules,
  },
  'route-missing': {
    seen: ({ nextHop, subnet }) =>
      `${nextHop} answers this host, but not machines: it needs a route to ${subnet} by way of this host`,
  },
  'kept-inside': { seen: () => 'packets to the outside stay on this host, as virlan.ini wants it' },
  'not-kept-inside': {
    seen: ({ nextHop }) => `a packet to ${nextHop} leaves this host, which virlan.ini does not want`,
    fix: () => virlanRepairs(),
  },
  'routed-by-mark': {
    seen: ({ packet, route: { mark, priority, table, link } }) =>
      `${named(packet)} has the mark 0x${mark.toString(16)}, and ` +
      `${link === null ? 'is refused' : `leaves by ${link}`} because of it: the routing rule of priority ` +
      `${priority}${table === null ? '' : `, to table ${table},`} is asked before the main table`,
    // A packet to the outside may be refused on purpose: until a tunnel is up, for example.
    fix: ({ packet, route, subnet }) =>
      packet.kind === 'outgoing' ? showsMore('ip rule show') : fixBy(mainTableFirst(subnet, route.priority)),
  },
  'taken-by-ipsec': {
    seen: ({ packet, policy }) =>
      `${named(packet)} ${lossTo(policy)} by the IPsec policy of this host from ${policy.from} to ${policy.to} ` +
      `(dir ${policy.direction}, priority ${policy.priority}): except the machines from it in the VPN's configuration`,
    fix: ({ packet, policy, subnet }) => {
      const command = exceptionFrom(policy, subnet, packet.kind);
      return command === null ? showsMore('ip xfrm policy') : repairs(command);
    },
  },
  'no-return-possible': { seen: () => 'no answer can come back' },
  'next-hop-answers': { seen: ({ nextHop }) => `${nextHop} answers` },
  'answer-lost': {
    seen: ({ nextHop }) => `${nextHop} answers, and the answer is lost on this host`,
    fix: listRules,
  },
  'reverse-path-dropped': {
    seen: ({ packet }) =>
      `${named(packet)} is dropped by the reverse path filter: this host's own route to its sender leads elsewhere`,
    // The higher value of a link's own and this one counts.
    fix: () => repairs('sysctl -w net.ipv4.conf.all.rp_filter=2'),
  },
  'answers-host-only': {
    seen: ({ nextHop }) => `${nextHop} answers this host, but not what comes from machines`,
    fix: ({ nextHop, dev }) => showsMore(`tcpdump -ni ${dev} host ${nextHop}`),
  },
  'next-hop-silent': {
    seen: ({ nextHop }) => `${nextHop} answers neither a machine nor this host; packets leave as they should`,
  },
  'next-hop-unresolved': {
    seen: ({ nextHop, dev }) =>
      `nobody answers ARP for ${nextHop} on ${dev}: this host itself has no way to the outside; packets of machines leave as they should`,
    fix: ({ nextHop, dev }) => showsMore(`ip neighbour show to ${nextHop} dev ${dev}`),
  },
  'outside-names-resolve': { seen: () => 'names of the outside resolve' },
  'gateway-dns-silent': { seen: () => 'the DNS of the gateway does not answer' },
  'upstream-dropped': {
    seen: ({ drop }) =>
      `names of the outside do not resolve: what this host asks name servers there, or their answers, is dropped by ${place(drop)}`,
    fix: ({ drop }) => showsMore(commandThatShows(drop)),
  },
  'outside-names-fail': {
    seen: ({ code }) =>
      `names of the outside do not resolve (${code}): the name servers that dnsmasq asks do not answer`,
    fix: () => showsMore('cat /etc/resolv.conf'),
  },
};

function lossTo({ effect, direction }: TakingPolicy): string {
  if (effect === 'drops') return 'is dropped';
  return direction === 'out'
    ? 'is sent into a tunnel'
    : 'is dropped, because it does not come out of a tunnel,';
}

function named(packet: Packet): string {
  switch (packet.kind) {
    case 'dhcp':
      return 'the DHCP request';
    case 'dns':
      return `a DNS question to ${packet.gateway}`;
    case 'outgoing':
      return `a packet to ${packet.to}`;
    case 'returning':
      return `the answer of ${packet.from}`;
    case 'connecting':
      return 'a TCP connection to the outside';
    case 'connected':
      return 'an answer of the outside to a TCP connection';
  }
}

/** Names the rule or policy that dropped a packet. */
export function place({ family, table, chain, rule }: Drop): string {
  const name = `${family} ${table} ${chain}`;
  if (rule === null) return `the policy of ${name}`;
  const kind = isReversePathFilter(rule) ? 'reverse path filter, a rule' : 'rule';
  return `a ${kind} of ${name}: ${rule.slice(0, maxRuleLength)}`;
}

function watchDhcp({ bridge }: { readonly bridge: string }): Fix {
  return showsMore(`tcpdump -ni ${bridge} udp port 67`);
}

function listRules(): Fix {
  return showsMore('nft list ruleset');
}
