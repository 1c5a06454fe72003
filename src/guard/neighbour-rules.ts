// The guard's rules for neighbour solicitations and advertisements, and router solicitations, of IPv6 (RFC 4861).
import {
  address6OfOther,
  icmp6,
  macOfOther,
  neighbourMac,
  neighbourTargetId,
  solicitingMac,
} from './matches.ts';

/** The offset of the options of a message, in bits. Each has a type, and a length in units of 64 bits. */
const neighbourOptionsAt = 192;
const routerOptionsAt = 64;

/** The longest first option that has no MAC: a nonce (RFC 7527) has 8 bytes. */
const longest = 3;

/** Drops fragments, because not all receivers ignore them (RFC 6980), and the first may end before the address. */
const inFragments = 'meta protocol ip6 exthdr frag exists goto deny_other';

function typeOfFirst(optionsAt: number): string {
  return `@th,${optionsAt},8`;
}

/** Returns the rules that drop a message with more options behind one of another kind: the MAC may be in those. */
function onlyOne(optionsAt: number): string[] {
  const length = `@th,${optionsAt + 8},8`;
  return [
    ...Array.from(
      { length: longest },
      (_, index) => `${length} ${index + 1} @th,${optionsAt + 64 * (index + 1)},8 0-255 goto deny_other`,
    ),
    `${length} > ${longest} goto deny_other`,
  ];
}

/** The chains `neighbour` and `router_solicit`, which judge messages, and those that they go to. */
export const neighbourChains: readonly (readonly [name: string, rules: readonly string[]])[] = [
  ['neighbour_options', onlyOne(neighbourOptionsAt)],
  ['router_options', onlyOne(routerOptionsAt)],
  [
    'neighbour',
    [
      inFragments,
      // Receivers take the first option of the kind that the message has.
      `${icmp6} type nd-neighbor-solicit ${typeOfFirst(neighbourOptionsAt)} != 1 jump neighbour_options`,
      `${icmp6} type nd-neighbor-advert ${typeOfFirst(neighbourOptionsAt)} != 2 jump neighbour_options`,
      `${macOfOther(neighbourMac)} goto deny_mac_nd`,
      `${icmp6} type nd-neighbor-advert ${address6OfOther(neighbourTargetId)} goto deny_addr6_nd`,
      // Duplicate address detection for another's address makes its owner give it up.
      `${icmp6} type nd-neighbor-solicit ip6 saddr :: ${address6OfOther(neighbourTargetId)} goto deny_addr6_nd`,
    ],
  ],
  [
    'router_solicit',
    [
      inFragments,
      `${typeOfFirst(routerOptionsAt)} != 1 jump router_options`,
      `${macOfOther(solicitingMac)} goto deny_mac_rs`,
    ],
  ],
];
