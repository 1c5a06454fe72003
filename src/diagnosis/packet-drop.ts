// A packet on its way between a machine and the outside, and what dropped it.

/** A packet of the probe, or one that answers it. */
export type ProbePacket =
  | { readonly kind: 'dhcp' }
  | { readonly kind: 'dns'; readonly gateway: string }
  | { readonly kind: 'outgoing'; readonly to: string }
  | { readonly kind: 'returning'; readonly from: string };

/** A packet of the probe, or one of a TCP connection to the outside, which no probe opens: its first, or an answer. */
export type Packet = ProbePacket | { readonly kind: 'connecting' } | { readonly kind: 'connected' };

/** The chain or rule that dropped a packet. Its names were chosen by the author of the rule: hostile. */
export interface Drop {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  /** The rule's text; null where the chain's policy dropped the packet. */
  readonly rule: string | null;
  /** The link that the packet came in by, and the one that it was to leave by, as far as known at the hook. */
  readonly links: { readonly in: string | null; readonly out: string | null };
}
