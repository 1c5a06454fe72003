// The rules of the guard: a table of nftables' family bridge, whose sets say what belongs to whom. A packet
// costs the same whatever the number of machines is.
//
// Everything happens in prerouting, before the bridge learns from a frame to which port its sender belongs:
// a frame that a later hook drops has already taken over the sender's MAC. Ports that are not in `ports` pass.
// There is no connection tracking, because not every kernel has it for bridges.
//
// Frames that are dropped are counted by port and by what was wrong: the names of those sets begin with "deny_".
import type { NetworkConfig } from '../config/config.ts';
import { firstFragment6, isTaggedTwice, toFirstFragment6, toReservedMac } from '../firewall/frame-matches.ts';
import { broadcastChain, broadcastRule, broadcastSet } from './broadcast-rules.ts';
import { denialSets, deny } from './denials.ts';
import { dhcpChains, dhcpSets } from './dhcp-rules.ts';
import { dnsChains, dnsSets } from './dns-rules.ts';
import type { SetName } from './elements.ts';
import { groupChains, groupSets } from './group-rules.ts';
import { type GuardedBridge, hookChains } from './hook-chains.ts';
import {
  address4OfOther,
  address6OfOther,
  arpSenderMac,
  dhcpClient,
  frameSender,
  icmp6,
  ip6Sender,
  ip6SenderId,
  isNotOwn4,
  macOfOther,
  neighbourMac,
  neighbourTarget,
  ofArp,
  solicitingMac,
} from './matches.ts';
import { neighbourChains } from './neighbour-rules.ts';
import { packet4Chains } from './packet4-rules.ts';
import { senderChains, senderSets } from './sender-rules.ts';
import { tftpChains, tftpSets } from './tftp-rules.ts';

/** The table of the guard. Only a table of this name is ever read or removed. */
export function guardTable(bridge: string): string {
  return `bridge virlan-${bridge}`;
}

/** By set: its type. MACs and parts of IPv6 addresses are numbers: nft compares payloads with nothing else. */
const setTypes: Readonly<Record<SetName, readonly string[]>> = {
  ports: ['type ifname : verdict'],
  taps: ['type ifname'],
  macs: ['typeof @ll,48,48'],
  own_macs: ['typeof iifname . @ll,48,48'],
  addr4: ['type ipv4_addr'],
  own4: ['type ifname . ipv4_addr'],
  allow4: ['type ifname . ipv4_addr', 'flags interval'],
  addr6: ['typeof @nh,128,64'],
  own6: ['typeof iifname . @nh,128,64'],
  isolated: ['type ifname'],
  peers: ['type ifname . ifname'],
  remote_peers: ['typeof iifname . @ll,48,48'],
  isolated_ports: ['type ifname'],
  remote_isolated: ['typeof @ll,48,48'],
  reflecting: ['type ifname . ifname'],
};

/** By type of ICMPv6: the chain that judges it. */
const types6 = [
  'mld-listener-report : goto mld_group',
  'nd-router-solicit : goto router_solicit',
  'nd-neighbor-solicit : goto neighbour',
  'nd-neighbor-advert : goto neighbour',
  'mld2-listener-report : goto mld_records',
].join(', ');

const rarp = '0x8035 : goto rarp';

const chains: readonly (readonly [name: string, rules: readonly string[]])[] = [
  ['deny_mac_frame', deny('mac', frameSender)],
  ['deny_mac_arp', deny('mac', arpSenderMac)],
  ['deny_mac_nd', deny('mac', neighbourMac)],
  ['deny_mac_rs', deny('mac', solicitingMac)],
  ['deny_addr4_arp', deny('addr4', 'arp saddr ip').map(ofArp)],
  ['deny_addr4_probe', deny('addr4', 'arp daddr ip').map(ofArp)],
  ['deny_addr4_ip', deny('addr4', 'ip saddr')],
  ['deny_addr6_ip', deny('addr6', ip6Sender)],
  ['deny_addr6_nd', deny('addr6', neighbourTarget)],
  ['deny_dhcp_answer', deny('dhcp_server')],
  ['deny_as_router', deny('router')],
  ['deny_to_bridge', deny('bridge')],
  ['deny_tagged', deny('tag')],
  ['deny_other', deny('type')],
  ['deny_to_others', deny('isolated')],
  // Receivers fill up a message that ends too early with zeros, and look elsewhere with other lengths.
  ['arp_message', ['@nh,32,16 0x0604 @nh,216,8 0-255 goto arp_rest', 'goto deny_other']],
  // QEMU asks by RARP after a migration, to tell where the machine is now. An answer (6: of DRARP, RFC 1931) would give
  // another machine its address.
  ['rarp', ['@nh,48,16 { 4, 6 } goto deny_dhcp_answer']],
  [
    'arp_rest',
    [
      `${macOfOther(arpSenderMac)} goto deny_mac_arp`,
      `${address4OfOther('arp saddr ip')} goto deny_addr4_arp`,
      // A probe for an address makes its owner, which may be about to take it, give it up (RFC 5227).
      `arp saddr ip 0.0.0.0 ${address4OfOther('arp daddr ip')} goto deny_addr4_probe`,
      `arp saddr ip != 0.0.0.0 ${isNotOwn4('arp saddr ip')} goto sender_arp`,
    ].map(ofArp),
  ],
  ['first_fragment6', firstFragment6('goto deny_other')],
  [
    'packet6',
    [
      toFirstFragment6,
      `${address6OfOther(ip6SenderId)} goto deny_addr6_ip`,
      // The bridge looks for messages of MLD behind authentication headers, too (ipv6_skip_exthdr).
      'meta protocol ip6 meta l4proto ah exthdr hbh exists goto deny_other',
      // 151: a multicast router (RFC 4286).
      `${icmp6} type { nd-router-advert, nd-redirect, mld-listener-query, 151 } goto deny_as_router`,
      'udp dport 546 goto deny_dhcp_answer',
      `${icmp6} type vmap { ${types6} }`,
    ],
  ],
  // Some receivers find ARP and IP behind headers of SNAP (RFC 1042, IEEE 802.1H; CVE-2021-27853).
  ['snap', ['@nh,0,16 0xaaaa @nh,24,24 { 0x000000, 0x0000f8 } goto deny_other']],
  ['unknown_mac', [`${frameSender} @macs goto deny_mac_frame`, 'goto sender']],
  [
    'others',
    [
      broadcastRule,
      // A receiver removes tags of VLAN 0. What is behind two of them is not checked here.
      `${isTaggedTwice} goto deny_tagged`,
      'ether type { 8021q, 8021ad } @ll,116,12 0 goto deny_tagged',
      `${toReservedMac} goto deny_to_bridge`,
      `iifname . ${frameSender} != @own_macs jump unknown_mac`,
      // 4: a frame of IEEE 802.3.
      `meta protocol vmap { 4 : goto snap, arp : goto arp_message, ${rarp}, ip : goto packet4, ip6 : goto packet6 }`,
    ],
  ],
  [
    'strict_arp',
    [
      `iifname . ${arpSenderMac} != @own_macs goto deny_mac_arp`,
      `arp saddr ip != 0.0.0.0 ${isNotOwn4('arp saddr ip')} goto deny_addr4_arp`,
      'goto arp_message',
    ],
  ],
  [
    'strict_packet4',
    [
      `udp dport 67 iifname . ${dhcpClient} != @own_macs goto deny_dhcp_named`,
      'ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 goto dhcp',
      `${isNotOwn4('ip saddr')} goto deny_addr4_ip`,
      'goto packet4_rest',
    ],
  ],
  [
    'strict_packet6',
    [
      'ip6 saddr :: icmpv6 type { mld-listener-report, mld2-listener-report, nd-router-solicit, nd-neighbor-solicit } goto packet6',
      // Every machine has link-local addresses of its own choice.
      'ip6 saddr != fe80::/10 goto deny_addr6_ip',
      'icmpv6 type nd-neighbor-advert @th,64,10 != 0x3fa goto deny_addr6_nd',
      'goto packet6',
    ],
  ],
  [
    'strict',
    [
      broadcastRule,
      'ether type { 8021q, 8021ad } goto deny_tagged',
      `${toReservedMac} goto deny_to_bridge`,
      `iifname . ${frameSender} != @own_macs goto deny_mac_frame`,
      `meta protocol vmap { arp : goto strict_arp, ${rarp}, ip : goto strict_packet4, ip6 : goto strict_packet6 }`,
      'goto deny_other',
    ],
  ],
];

type GuardedNetwork = Pick<
  NetworkConfig,
  'bridge' | 'subnet' | 'gateway' | 'isolate' | 'leaseTimeSeconds' | 'sharesLedger'
>;

/** Returns the table of a network without its elements: declarations and rules. */
export function renderGuard(network: GuardedNetwork, where: GuardedBridge): string {
  const { bridge, gateway, leaseTimeSeconds } = network;
  const block = (head: string, lines: readonly string[]) =>
    `\t${head} {\n${lines.map(line => `\t\t${line}\n`).join('')}\t}\n`;
  const sets = Object.entries(setTypes).map(([name, lines]) =>
    block(`${name === 'ports' ? 'map' : 'set'} ${name}`, lines),
  );
  const counting = [
    ...denialSets(),
    ...dhcpSets(leaseTimeSeconds),
    ...dnsSets(),
    ...tftpSets(),
    ...senderSets(),
    ...groupSets(),
    broadcastSet,
  ].map(([name, lines]) => block(`set ${name}`, lines));
  const rules = [
    ...dhcpChains(leaseTimeSeconds),
    ...dnsChains(gateway, where.limitsConnections),
    ...tftpChains(gateway),
    ...senderChains(),
    ...groupChains(),
    broadcastChain,
    ...neighbourChains,
    ...chains,
    ...packet4Chains(network),
    ...hookChains(network, where),
  ].map(([name, lines]) => block(`chain ${name}`, lines));
  return `table ${guardTable(bridge)} {\n${[...sets, ...counting, ...rules].join('\n')}}\n`;
}
