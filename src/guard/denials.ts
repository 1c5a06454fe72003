// The reasons for which frames are dropped, and the rules that count and drop them.
import { dynamicSet } from './limited-values.ts';

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
  /** More questions to dnsmasq than a machine may ask. */
  'dns_rate',
  /** More requests by TFTP than a machine may send. */
  'tftp_rate',
  /** A DHCP message of one more client behind a machine than may ask. */
  'dhcp_clients',
  /** A frame whose source is one MAC more than may be in use behind a tap. */
  'senders',
  /** ARP or IPv4 from one address more, or to one by way of the host. */
  'neighbours',
  /** A report of one multicast group more than may be joined behind a tap. */
  'groups',
  /** A frame to all machines, or to a group, one more than may be sent. */
  'broadcasts',
  /** A router advertisement, a redirect or a query for multicast groups. */
  'router',
  /** A frame to one of the addresses that bridges reserve, such as that of the spanning tree. */
  'bridge',
  /** A VLAN tag within another, or of VLAN 0; in `strict`, any. */
  'tag',
  /** To a machine that is not in the sender's group. */
  'isolated',
  /** IPv4 with a header that is not valid; in `strict`, what is neither ARP, RARP, IPv4 nor IPv6. */
  'type',
] as const;

export type Denial = (typeof denials)[number];

/** By reason: the type of the set that counts. */
const countedAs: Readonly<Record<Denial, string>> = {
  mac: 'typeof iifname . @ll,48,48',
  addr4: 'type ifname . ipv4_addr',
  addr6: 'typeof iifname . @nh,64,128',
  dhcp_name: 'typeof iifname . @ll,48,48',
  dhcp_server: 'type ifname',
  dhcp_rate: 'type ifname',
  dns_rate: 'type ifname',
  tftp_rate: 'type ifname',
  dhcp_clients: 'type ifname',
  senders: 'type ifname',
  neighbours: 'type ifname',
  groups: 'type ifname',
  broadcasts: 'type ifname',
  router: 'type ifname',
  bridge: 'type ifname',
  tag: 'type ifname',
  isolated: 'type ifname',
  type: 'type ifname',
};

/**
 * Most values of one port that are counted, at once and again in the time that a count is kept; frames with others
 * are dropped without being counted. A port that sends many leaves room for the counts of the others.
 */
export const countedOfPort = 64;

/** The time for which a count is kept after the last frame. */
const countedTime = '1h';

/** Returns the rules of a chain that counts a frame, by its port and by a value of it, and drops it. */
export function deny(denial: Denial, value?: string): string[] {
  const set = `@deny_${denial}`;
  // Counting has a rule of its own, because it fails when the set is full.
  if (value === undefined) return [`update ${set} { iifname counter }`, 'drop'];
  const key = `iifname . ${value}`;
  const more = `limit rate over ${countedOfPort}/hour burst ${countedOfPort} packets`;
  return [
    `${key} ${set} update ${set} { ${key} counter } drop`,
    `update @deny_new_values { iifname ${more} } drop`,
    `update ${set} { ${key} counter }`,
    'drop',
  ];
}

/** Returns the names of the sets that count, with their declarations. */
export function denialSets(): (readonly [name: string, lines: readonly string[]])[] {
  return [
    ...denials.map(denial => [`deny_${denial}`, dynamicSet(countedAs[denial], countedTime)] as const),
    ['deny_new_values', dynamicSet('type ifname', countedTime)],
  ];
}
