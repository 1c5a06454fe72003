// The rules of the guard: a table of nftables' family bridge, whose sets say what belongs to whom. A packet
// costs the same whatever the number of machines is.
//
// Everything happens in prerouting, before the bridge learns from a frame to which port its sender belongs:
// a frame that a later hook drops has already taken over the sender's MAC. Ports that are not in `ports` pass.
// There is no connection tracking, because not every kernel has it for bridges.
//
// Frames that are dropped are counted by port and by what was wrong: the names of those sets begin with "deny_".
import { formatIp, formatPrefix } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import { firstFragment6, isTaggedTwice, toFirstFragment6, toReservedMac } from '../firewall/frame-matches.ts';
import { denialSets, deny } from './denials.ts';
import { dhcpChains, dhcpSets } from './dhcp-rules.ts';
import { dnsChains, dnsSets } from './dns-rules.ts';
import type { SetName } from './elements.ts';
import { groupChains, groupSets } from './group-rules.ts';
import {
  anothersAddress4,
  anothersAddress6,
  anothersMac,
  arpSenderMac,
  dhcpClient,
  frameReceiver,
  frameSender,
  icmp6,
  ip6Sender,
  ip6SenderId,
  isNotOwn4,
  neighbourMac,
  neighbourTarget,
  ofArp,
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
  'nd-neighbor-solicit : goto neighbour',
  'nd-neighbor-advert : goto neighbour',
  'mld2-listener-report : goto mld_records',
].join(', ');

const chains: readonly (readonly [name: string, rules: readonly string[]])[] = [
  ['deny_mac_frame', deny('mac', frameSender)],
  ['deny_mac_arp', deny('mac', arpSenderMac)],
  ['deny_mac_nd', deny('mac', neighbourMac)],
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
  [
    'arp_rest',
    [
      `${anothersMac(arpSenderMac)} goto deny_mac_arp`,
      `${anothersAddress4('arp saddr ip')} goto deny_addr4_arp`,
      // A probe for an address makes its owner, which may be about to take it, give it up (RFC 5227).
      `arp saddr ip 0.0.0.0 ${anothersAddress4('arp daddr ip')} goto deny_addr4_probe`,
      `arp saddr ip != 0.0.0.0 ${isNotOwn4('arp saddr ip')} goto sender_arp`,
    ].map(ofArp),
  ],
  ['first_fragment6', firstFragment6('goto deny_other')],
  [
    'packet6',
    [
      toFirstFragment6,
      `${anothersAddress6(ip6SenderId)} goto deny_addr6_ip`,
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
      // A receiver removes tags of VLAN 0. What is behind two of them is not checked here.
      `${isTaggedTwice} goto deny_tagged`,
      'ether type { 8021q, 8021ad } @ll,116,12 0 goto deny_tagged',
      `${toReservedMac} goto deny_to_bridge`,
      `iifname . ${frameSender} != @own_macs jump unknown_mac`,
      // 4: a frame of IEEE 802.3.
      'meta protocol vmap { 4 : goto snap, arp : goto arp_rest, ip : goto packet4, ip6 : goto packet6 }',
    ],
  ],
  [
    'strict_arp',
    [
      `iifname . ${arpSenderMac} != @own_macs goto deny_mac_arp`,
      `arp saddr ip != 0.0.0.0 ${isNotOwn4('arp saddr ip')} goto deny_addr4_arp`,
      'goto arp_rest',
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
      'ether type { 8021q, 8021ad } goto deny_tagged',
      `${toReservedMac} goto deny_to_bridge`,
      `iifname . ${frameSender} != @own_macs goto deny_mac_frame`,
      // 0x8035 is RARP, by which QEMU tells after a migration where the machine is now.
      'meta protocol vmap { arp : goto strict_arp, ip : goto strict_packet4, ip6 : goto strict_packet6, 0x8035 : accept }',
      'goto deny_other',
    ],
  ],
];

type GuardedNetwork = Pick<
  NetworkConfig,
  'bridge' | 'subnet' | 'gateway' | 'isolate' | 'leaseTimeSeconds' | 'sharesLedger'
>;

/** The state of the host that the guard of its bridge depends on. */
export interface GuardedBridge {
  /** The link to the other hosts of its cluster; null where there is none. */
  readonly tunnel: string | null;
  /** True if br_netfilter hands frames on the bridge to the rules of IPv4, so that ports may reflect them. */
  readonly filtersFrames: boolean;
  /** True if the connections of a tap to dnsmasq are counted. */
  readonly limitsConnections: boolean;
}

/**
 * The priority of packets that machines have sent to the host: what br_netfilter translates goes on from port to port.
 * Nothing else keeps it: the host gives packets that it forwards another one. No class of a queue has it.
 */
const sentToHost = '0xbe1a0010';

/** Some packets to the host have, instead, one of the priorities that tell taps apart. */
const notSentToHost = 'meta priority & 0xffff0000 != 0xbe1a0000';

/**
 * Isolation is not left to the option of that name of ports, because machines of a group reach each other. A packet
 * that the host is to forward to another machine has a MAC of the host and that machine's address. One that is sent to
 * a port of the host, and leads to a machine, has an address of the host. MACs of the host are the bridge's, and the
 * tap's own on the tap: the kernel marks frames to both as its own (eth_type_trans, br_handle_frame).
 */
function hookChains(
  { subnet, gateway, isolate, sharesLedger }: GuardedNetwork,
  { tunnel, filtersFrames }: GuardedBridge,
): typeof chains {
  const byHost = `iifname @isolated meta pkttype host ip daddr ${formatPrefix(subnet)}`;
  const prerouting = 'type filter hook prerouting priority -300; policy accept;';
  const forward = 'type filter hook forward priority -300; policy accept;';
  const passing = `${notSentToHost} iifname @isolated oifname @isolated iifname . oifname != @peers`;
  const forwarding = [
    ...(tunnel !== null && sharesLedger ? isolatedPortRules(tunnel) : []),
    ...(isolate ? [...tunnelRules(tunnel), `${passing} goto deny_to_others`] : []),
    // A bridge in the machine would learn at its way out where those behind it are.
    ...(filtersFrames ? [`${notSentToHost} iifname . oifname @reflecting drop`] : []),
  ];
  return [
    [
      'prerouting',
      [
        prerouting,
        ...(isolate
          ? [
              // The host removes tags of VLAN 0, but the kernel looks behind one of them only for the rules below.
              'iifname @isolated meta protocol { 8021q, 8021ad } goto deny_tagged',
              `${byHost} ip daddr != ${formatIp(gateway)} goto deny_to_others`,
              `iifname @isolated meta pkttype host meta priority set ${sentToHost}`,
            ]
          : []),
        ...(filtersFrames
          ? [`iifname . iifname @reflecting meta pkttype host meta priority set ${sentToHost}`]
          : []),
        'iifname vmap @ports',
      ],
    ],
    ...(forwarding.length === 0 ? [] : [['forward', [forward, ...forwarding]] as const]),
  ];
}

/**
 * Returns the rules for ports that libvirt isolates, and such NICs on other hosts: the kernel keeps ports of one bridge
 * apart. Other hosts know a NIC by its MACs, so it sends into the tunnel with those alone: a frame with a MAC that
 * belongs to nobody would be taken for one of a NIC that is not isolated.
 */
function isolatedPortRules(tunnel: string): string[] {
  return [
    `iifname "${tunnel}" oifname @isolated_ports ${frameSender} @remote_isolated drop`,
    `iifname @isolated_ports oifname "${tunnel}" iifname . ${frameSender} != @own_macs goto deny_mac_frame`,
    `iifname @isolated_ports oifname "${tunnel}" ${frameReceiver} @remote_isolated goto deny_to_others`,
  ];
}

/**
 * Returns the rules for machines of other hosts, which are known by their MACs: the guard of their host lets no
 * other machine use them. Broadcasts pass to the other hosts, because machines of the group there need them.
 */
function tunnelRules(tunnel: string | null): string[] {
  if (tunnel === null) return [];
  const isUnicast = 'ether daddr & 01:00:00:00:00:00 == 0';
  return [
    `iifname "${tunnel}" oifname @isolated oifname . ${frameSender} != @remote_peers drop`,
    `iifname @isolated oifname "${tunnel}" ${isUnicast} iifname . ${frameReceiver} != @remote_peers goto deny_to_others`,
  ];
}

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
  ].map(([name, lines]) => block(`set ${name}`, lines));
  const rules = [
    ...dhcpChains(leaseTimeSeconds),
    ...dnsChains(gateway, where.limitsConnections),
    ...tftpChains(gateway),
    ...senderChains(),
    ...groupChains(),
    ...neighbourChains,
    ...chains,
    ...packet4Chains(network),
    ...hookChains(network, where),
  ].map(([name, lines]) => block(`chain ${name}`, lines));
  return `table ${guardTable(bridge)} {\n${[...sets, ...counting, ...rules].join('\n')}}\n`;
}
