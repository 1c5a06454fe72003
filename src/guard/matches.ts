// Conditions of the guard's rules: where in a frame is what it says about its sender, and whose that is.
import type { SetName } from './elements.ts';

/** Offsets in bits: the receiver and the sender of a frame, and the MACs and addresses in messages. */
export const frameReceiver = '@ll,0,48';
export const frameSender = '@ll,48,48';
export const arpSenderMac = '@nh,64,48';
export const ip6Sender = '@nh,64,128';
/** The half of an IPv6 address that says which interface of a network it is (RFC 4291). */
export const ip6SenderId = '@nh,128,64';
/** The target of a neighbour solicitation or advertisement, and the MAC of its first option (RFC 4861). */
export const neighbourTarget = '@th,64,128';
export const neighbourTargetId = '@th,128,64';
export const neighbourMac = '@th,208,48';
/** The MAC of the first option of a router solicitation. */
export const solicitingMac = '@th,80,48';
/** `htype` and `hlen`, which say that `chaddr` is a MAC, and `chaddr` (RFC 2131). */
export const dhcpHardware = '@th,72,16';
export const dhcpClient = '@th,288,48';

/**
 * Returns a condition on ARP that also holds for a frame with a VLAN tag: without the protocol, nft would look for it
 * where the tag is.
 */
export function ofArp(condition: string): string {
  return `meta protocol arp ${condition}`;
}

/** ICMPv6, also behind a VLAN tag. */
export const icmp6 = 'meta protocol ip6 icmpv6';

/** A frame that uses a value of somebody else: `set` has those of all, `own` those of each port. */
function belongsToOther(value: string, set: SetName, own: SetName): string {
  return `${value} @${set} iifname . ${value} != @${own}`;
}

export function macOfOther(value: string): string {
  return belongsToOther(value, 'macs', 'own_macs');
}

export function address4OfOther(value: string): string {
  return `${belongsToOther(value, 'addr4', 'own4')} iifname . ${value} != @allow4`;
}

/** An address that is made of another's MAC, whatever its prefix is. */
export function address6OfOther(id: string): string {
  return belongsToOther(id, 'addr6', 'own6');
}

/** A frame that uses an address that is neither the machine's own nor allowed to it. */
export function isNotOwn4(value: string): string {
  return `iifname . ${value} != @own4 iifname . ${value} != @allow4`;
}
