// Conditions of nftables on the frames of a bridge, by which the guard of a network and the filter of its tunnel both
// judge. Pure.

/** A frame to one of the addresses that bridges reserve, such as that of the spanning tree. */
export const toReservedMac = 'ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00';

/** A frame with a VLAN tag behind that which the kernel has removed: the header of a packet may be behind it. */
export const isTaggedTwice = 'meta protocol { 8021q, 8021ad }';

/** A packet of IPv4 with a valid header. The kernel reads no protocol in another one, but DHCP clients may. */
export const isValid4 = 'meta l4proto 0-255';

/** A message of IPv4 that only routers send. */
export const ofRouter4 = 'meta protocol ip icmp type { redirect, router-advertisement }';

/**
 * The rule that leads the first fragments of IPv6 to the chain `first_fragment6`. A receiver may put together fragments
 * that hide from a filter what they are (RFC 7112).
 */
export const toFirstFragment6 = 'meta protocol ip6 exthdr frag exists frag frag-off 0 jump first_fragment6';

/** Returns the rules of that chain: a fragment that ends before the header of its message gets the verdict. */
export function firstFragment6(verdict: string): readonly string[] {
  return ['@th,0,8 0-255 return', verdict];
}
