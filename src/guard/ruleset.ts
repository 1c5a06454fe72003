// The rules of the guard: a table of nftables' family bridge, whose sets say what belongs to whom. A packet
// costs the same whatever the number of machines is.
//
// Everything happens in prerouting, before the bridge learns from a frame to which port its sender belongs:
// a frame that a later hook drops has already taken over the sender's MAC. Ports that are not in `ports` pass.
// There is no connection tracking, because not every kernel has it for bridges.
//
// Frames that are dropped are counted by port and by what was wrong: the names of those sets begin with "deny_".
import { formatIp, formatPrefix } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import type { NetworkConfig } from '../config/config.ts';
import type { SetName } from './elements.ts';

/** The reasons for which frames are dropped. */
export const denials = [
  /** The MAC of the gateway, of another machine or of a device, as sender of a frame or in a message. */
  'mac',
  /** An address of theirs. */
  'addr4',
  'addr6',
  /** A DHCP message in the name of another machine. */
  'dhcp_name',
  /** An answer of a DHCP server. */
  'dhcp_server',
  /** More DHCP messages than a machine needs. */
  'dhcp_rate',
  /** A router advertisement or a redirect. */
  'router',
  /** A frame to one of the addresses that bridges reserve, such as that of the spanning tree. */
  'bridge',
  /** A VLAN tag within another; in `strict`, any. */
  'tag',
  /** To a machine that is not in the sender's group. */
  'isolated',
  /** `strict`: neither ARP, RARP, IPv4 nor IPv6. */
  'type',
] as const;

export type Denial = (typeof denials)[number];

/** The table of the guard. Only a table of this name is ever read or removed. */
export function guardTable(bridge: string): string {
  return `bridge virlan-${bridge}`;
}

/** By set: its type. MACs and IPv6 addresses are numbers, because nft compares payloads with nothing else. */
const setTypes: Readonly<Record<SetName, readonly string[]>> = {
  ports: ['type ifname : verdict'],
  macs: ['typeof @ll,48,48'],
  own_macs: ['typeof iifname . @ll,48,48'],
  addr4: ['type ipv4_addr'],
  own4: ['type ifname . ipv4_addr'],
  allow4: ['type ifname . ipv4_addr', 'flags interval'],
  addr6: ['typeof @nh,64,128'],
  own6: ['typeof iifname . @nh,64,128'],
  isolated: ['type ifname'],
  peers: ['type ifname . ifname'],
};

const countedAs: Readonly<Record<Denial, string>> = {
  mac: 'typeof iifname . @ll,48,48',
  addr4: 'type ifname . ipv4_addr',
  addr6: 'typeof iifname . @nh,64,128',
  dhcp_name: 'typeof iifname . @ll,48,48',
  dhcp_server: 'type ifname',
  dhcp_rate: 'type ifname',
  router: 'type ifname',
  bridge: 'type ifname',
  tag: 'type ifname',
  isolated: 'type ifname',
  type: 'type ifname',
};

/** Most different ports and values that are counted; frames beyond are dropped without being counted. */
const countedSize = 4096;

/** How long a count is kept after the last frame. */
const countedTime = '1h';

/** The messages per second that a machine needs to boot all its NICs at once, and some more. */
const messagesPerSecond = 10;
const messagesAtOnce = 40;

/** Offsets in bits: the sender of a frame, and the MACs and addresses in messages. */
const frameSender = '@ll,48,48';
const arpSenderMac = '@nh,64,48';
const ip6Sender = '@nh,64,128';
/** The target of a neighbour solicitation or advertisement, and the MAC of its first option (RFC 4861). */
const neighbourTarget = '@th,64,128';
const neighbourMac = '@th,208,48';
/** `chaddr` (RFC 2131). */
const dhcpClient = '@th,288,48';

/** A frame that uses a value of somebody else: `set` has those of all, `own` those of each port. */
function isAnothers(value: string, set: SetName, own: SetName): string {
  return `${value} @${set} iifname . ${value} != @${own}`;
}

const anothersMac = (value: string) => isAnothers(value, 'macs', 'own_macs');
const anothersAddress4 = (value: string) =>
  `${isAnothers(value, 'addr4', 'own4')} iifname . ${value} != @allow4`;
const anothersAddress6 = (value: string) => isAnothers(value, 'addr6', 'own6');
const isNotOwn4 = (value: string) => `iifname . ${value} != @own4 iifname . ${value} != @allow4`;

function deny(denial: Denial, value?: string): string[] {
  const key = value === undefined ? 'iifname' : `iifname . ${value}`;
  // Counting has a rule of its own, because it fails when the set is full.
  return [`update @deny_${denial} { ${key} counter }`, 'drop'];
}

const chains: readonly (readonly [name: string, rules: readonly string[]])[] = [
  ['deny_mac_frame', deny('mac', frameSender)],
  ['deny_mac_arp', deny('mac', arpSenderMac)],
  ['deny_mac_nd', deny('mac', neighbourMac)],
  ['deny_addr4_arp', deny('addr4', 'arp saddr ip')],
  ['deny_addr4_probe', deny('addr4', 'arp daddr ip')],
  ['deny_addr4_ip', deny('addr4', 'ip saddr')],
  ['deny_addr6_ip', deny('addr6', ip6Sender)],
  ['deny_addr6_nd', deny('addr6', neighbourTarget)],
  ['deny_dhcp_named', deny('dhcp_name', dhcpClient)],
  ['deny_dhcp_fragment', deny('dhcp_server')],
  ['deny_dhcp_answer', deny('dhcp_server')],
  ['deny_dhcp_flood', deny('dhcp_rate')],
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
    ],
  ],
  [
    'dhcp',
    [
      // A fragment would hide who the message is of.
      'ip frag-off & 0x3fff != 0 goto deny_dhcp_fragment',
      `${anothersMac(dhcpClient)} goto deny_dhcp_named`,
      `update @dhcp_messages { iifname limit rate over ${messagesPerSecond}/second burst ${messagesAtOnce} packets } goto deny_dhcp_flood`,
    ],
  ],
  [
    'packet4_rest',
    [
      'icmp type redirect goto deny_as_router',
      // Clients look at this port alone.
      'udp dport 68 goto deny_dhcp_answer',
      'udp dport 67 goto dhcp',
    ],
  ],
  ['packet4', [`${anothersAddress4('ip saddr')} goto deny_addr4_ip`, 'goto packet4_rest']],
  [
    'neighbour',
    [
      `${anothersMac(neighbourMac)} goto deny_mac_nd`,
      `icmpv6 type nd-neighbor-advert ${anothersAddress6(neighbourTarget)} goto deny_addr6_nd`,
      // Duplicate address detection for another's address makes its owner give it up.
      `icmpv6 type nd-neighbor-solicit ip6 saddr :: ${anothersAddress6(neighbourTarget)} goto deny_addr6_nd`,
    ],
  ],
  [
    'packet6',
    [
      `${anothersAddress6(ip6Sender)} goto deny_addr6_ip`,
      'icmpv6 type { nd-router-advert, nd-redirect } goto deny_as_router',
      'udp dport 546 goto deny_dhcp_answer',
      'icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } goto neighbour',
    ],
  ],
  [
    'others',
    [
      // A receiver removes two tags of VLAN 0, and would see what is checked here after the first one alone.
      'meta protocol { 8021q, 8021ad } goto deny_tagged',
      'ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00 goto deny_to_bridge',
      `${anothersMac(frameSender)} goto deny_mac_frame`,
      'meta protocol vmap { arp : goto arp_rest, ip : goto packet4, ip6 : goto packet6 }',
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
      `ip6 saddr != fe80::/10 iifname . ${ip6Sender} != @own6 goto deny_addr6_ip`,
      `icmpv6 type nd-neighbor-advert @th,64,10 != 0x3fa iifname . ${neighbourTarget} != @own6 goto deny_addr6_nd`,
      'goto packet6',
    ],
  ],
  [
    'strict',
    [
      'ether type { 8021q, 8021ad } goto deny_tagged',
      'ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00 goto deny_to_bridge',
      `iifname . ${frameSender} != @own_macs goto deny_mac_frame`,
      // 0x8035 is RARP, by which QEMU tells after a migration where the machine is now.
      'meta protocol vmap { arp : goto strict_arp, ip : goto strict_packet4, ip6 : goto strict_packet6, 0x8035 : accept }',
      'goto deny_other',
    ],
  ],
];

type GuardedNetwork = Pick<NetworkConfig, 'bridge' | 'subnet' | 'gateway' | 'isolate'>;

/**
 * Isolation is not left to the option of that name of ports, because machines of a group reach each other. A packet
 * that the host is to forward to another machine has the host's MAC and that machine's address.
 */
function hookChains({ subnet, gateway, isolate }: GuardedNetwork, gatewayMac: Mac): typeof chains {
  const byHost = `iifname @isolated ether daddr ${gatewayMac} ip daddr ${formatPrefix(subnet)}`;
  const prerouting = 'type filter hook prerouting priority -300; policy accept;';
  const forward = 'type filter hook forward priority -300; policy accept;';
  const passing = 'iifname @isolated oifname @isolated iifname . oifname != @peers goto deny_to_others';
  return [
    [
      'prerouting',
      [
        prerouting,
        ...(isolate ? [`${byHost} ip daddr != ${formatIp(gateway)} goto deny_to_others`] : []),
        'iifname vmap @ports',
      ],
    ],
    ...(isolate ? [['forward', [forward, passing]] as const] : []),
  ];
}

/** Returns the table of a network without its elements: declarations and rules. */
export function renderGuard(network: GuardedNetwork, gatewayMac: Mac): string {
  const { bridge } = network;
  const block = (head: string, lines: readonly string[]) =>
    `\t${head} {\n${lines.map(line => `\t\t${line}\n`).join('')}\t}\n`;
  const sets = Object.entries(setTypes).map(([name, lines]) =>
    block(`${name === 'ports' ? 'map' : 'set'} ${name}`, lines),
  );
  const counted = denials.map(denial =>
    block(`set deny_${denial}`, [
      countedAs[denial],
      `size ${countedSize}`,
      'flags dynamic,timeout',
      `timeout ${countedTime}`,
    ]),
  );
  const messages = block('set dhcp_messages', [
    'type ifname',
    'size 65535',
    'flags dynamic,timeout',
    'timeout 1m',
  ]);
  const rules = [...chains, ...hookChains(network, gatewayMac)].map(([name, lines]) =>
    block(`chain ${name}`, lines),
  );
  return `table ${guardTable(bridge)} {\n${[...sets, ...counted, messages, ...rules].join('\n')}}\n`;
}
