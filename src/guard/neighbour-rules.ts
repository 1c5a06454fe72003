// The guard's rules for neighbour solicitations and advertisements of IPv6 (RFC 4861).
import { anothersAddress6, anothersMac, icmp6, neighbourMac, neighbourTargetId } from './matches.ts';

/** The type of the first option, and its length in units of 64 bits. */
const optionType = '@th,192,8';
const optionLength = '@th,200,8';
const optionAt = 192;

/** The longest first option that has no MAC: a nonce (RFC 7527) has 8 bytes. */
const longest = 3;

/** Returns a rule for a message whose first option has a length, and is not the last one. */
function moreThanOne(length: number): string {
  return `${optionLength} ${length} @th,${optionAt + 64 * length},8 0-255 goto deny_other`;
}

/** The chain `neighbour`, which judges a message, and the one that it goes to. */
export const neighbourChains: readonly (readonly [name: string, rules: readonly string[]])[] = [
  // Drops a message with more options behind one of another kind: receivers would take the MAC from those.
  [
    'neighbour_options',
    [
      ...Array.from({ length: longest }, (_, index) => moreThanOne(index + 1)),
      `${optionLength} > ${longest} goto deny_other`,
    ],
  ],
  [
    'neighbour',
    [
      // Receivers ignore them (RFC 6980), but not all, and the first one may end before the address.
      'meta protocol ip6 exthdr frag exists goto deny_other',
      // Receivers take the first option of the kind that the message has.
      `${icmp6} type nd-neighbor-solicit ${optionType} != 1 jump neighbour_options`,
      `${icmp6} type nd-neighbor-advert ${optionType} != 2 jump neighbour_options`,
      `${anothersMac(neighbourMac)} goto deny_mac_nd`,
      `${icmp6} type nd-neighbor-advert ${anothersAddress6(neighbourTargetId)} goto deny_addr6_nd`,
      // Duplicate address detection for another's address makes its owner give it up.
      `${icmp6} type nd-neighbor-solicit ip6 saddr :: ${anothersAddress6(neighbourTargetId)} goto deny_addr6_nd`,
    ],
  ],
];
