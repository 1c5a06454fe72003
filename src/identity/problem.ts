// Why a NIC does not have the reservation that it should have, or that its machine asks for.
import type { Ipv4 } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';

/** An attribute of `<virlan:machine …/>` that has a value. */
export type WishAttribute = 'mac' | 'ip' | 'hostname';

/** Who holds what a NIC wants: another NIC of the same machine, or a machine by its (hostile) name. */
export type Holder = { readonly kind: 'own-nic' } | { readonly kind: 'machine'; readonly machine: string };

/**
 * What the owner of a machine should know about one of its NICs. `src/report/problem-text.ts` has the words.
 */
export type ReservationProblem =
  /** Another NIC boots with its MAC: it gets no address. */
  | { readonly kind: 'mac-taken'; readonly mac: Mac; readonly holder: Holder }
  /** The address that the metadata asks for is reserved for another NIC. */
  | { readonly kind: 'address-taken'; readonly address: Ipv4; readonly holder: Holder }
  /**
   * The address that the metadata asks for is not on the network, or belongs to the host or to a fixed host.
   */
  | { readonly kind: 'address-unusable'; readonly address: Ipv4 }
  /** The host name that the metadata asks for is another's. */
  | { readonly kind: 'hostname-taken'; readonly label: string }
  /** No address of dhcp-range is left: it gets no address. */
  | { readonly kind: 'pool-exhausted' }
  /** A value in the metadata cannot be read. */
  | { readonly kind: 'metadata-invalid'; readonly attribute: WishAttribute }
  /** Written as a sentence by virlan 0.1.0; replaced at the machine's next start. */
  | { readonly kind: 'legacy'; readonly text: string };
