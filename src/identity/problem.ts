// Problems of reservations: a NIC lacks what it should have, or what its machine asks for.
import type { Ipv4 } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';

/** An attribute of `<virlan:machine …/>` that has a value. */
export type WishAttribute = 'mac' | 'ip' | 'hostname' | 'boot';

/**
 * The holder of a MAC or an address: another NIC of the same machine, the host by its bridge, or a machine by its
 * (hostile) name.
 */
export type Holder =
  | { readonly kind: 'own-nic' | 'gateway' }
  | { readonly kind: 'machine'; readonly machine: string };

/**
 * The reason to skip an address of the pool: reserved for another NIC, leased to a machine or device with
 * another address, answered for by somebody on the bridge, in a fixed line, or for other hosts of the cluster to give.
 */
export type SkipReason = 'reserved' | 'leased' | 'answered' | 'fixed' | 'elsewhere';

/**
 * A problem of one NIC that the owner of the machine should know. problem-text.ts has the words.
 */
export type ReservationProblem =
  /** Another NIC boots with its MAC, or the host has it: it gets no address. */
  | { readonly kind: 'mac-taken'; readonly mac: Mac; readonly holder: Holder }
  /** The address that the metadata asks for is reserved for another NIC. */
  | { readonly kind: 'address-taken'; readonly address: Ipv4; readonly holder: Holder }
  /**
   * The address that the metadata asks for is not on the network, or belongs to the host or to a fixed host.
   */
  | { readonly kind: 'address-unusable'; readonly address: Ipv4 }
  /** A line written by hand has its MAC with an address that no machine of the network can have. */
  | { readonly kind: 'line-unusable'; readonly address: Ipv4 }
  /** A line written by hand has its MAC without an address, so that dnsmasq gives it any. */
  | { readonly kind: 'line-without-address'; readonly mac: Mac }
  /** A line written by hand tells dnsmasq to ignore its MAC: its address is not given by DHCP. */
  | { readonly kind: 'mac-ignored'; readonly mac: Mac }
  /** The host name that the metadata asks for belongs to another NIC or device. */
  | { readonly kind: 'hostname-taken'; readonly label: string }
  /** No address of dhcp-range is left: it gets no address. `held`: how many are held in which way. */
  | { readonly kind: 'pool-exhausted'; readonly held: Readonly<Record<SkipReason, number>> }
  /** The machine has more NICs on the network than are given addresses. */
  | { readonly kind: 'too-many-nics'; readonly nics: number; readonly limit: number }
  /** A machine of another host of the cluster has its name, with another UUID. */
  | { readonly kind: 'name-taken'; readonly host: Ipv4 }
  /** It runs, and etcd has it as a machine of another host of the cluster. */
  | { readonly kind: 'runs-elsewhere'; readonly host: Ipv4 }
  /** A value in the metadata cannot be read. */
  | { readonly kind: 'metadata-invalid'; readonly attribute: WishAttribute }
  /** Written as a sentence by virlan 0.1.0; replaced at the machine's next start. */
  | { readonly kind: 'legacy'; readonly text: string };
