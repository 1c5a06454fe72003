// A rule, independent of the program that loads it, and the rules of a network for one address family.
import type { Family, Prefix } from '../address/ip.ts';
import type { PortRange } from '../config/config.ts';

/** A condition on an address. */
export type PrefixMatch =
  | { readonly kind: 'in'; readonly prefix: Prefix }
  | { readonly kind: 'not-in'; readonly prefix: Prefix };

export type Ports = Omit<PortRange, 'protocol'>;

/** Conditions on a packet; an absent one matches everything. */
export interface Match {
  /** Incoming link, by name: an index would not match a bridge that was deleted and created again. */
  readonly from?: string;
  readonly to?: string;
  /** A link that the packet does not leave by. */
  readonly notTo?: string;
  readonly source?: PrefixMatch;
  readonly destination?: PrefixMatch;
  /**
   * `tcp-syn`: the packets that open a connection, and their answers. `ipv6-control`: the messages of ICMPv6
   * without which a host has no IPv6.
   */
  readonly protocol?: 'tcp' | 'tcp-syn' | 'udp' | 'icmp-echo-request' | 'ipv6-control';
  readonly ports?: readonly Ports[];
  readonly tracked?: readonly ('established' | 'related' | 'invalid' | 'new' | 'untracked')[];
  /** It opens more connections than its tap may have at once. iptables leaves such a rule out. */
  readonly surplus?: true;
  /** A rule of this host has translated the destination of the connection (DNAT). */
  readonly translated?: true;
  /**
   * The host's route to the source is not by the link that the packet came in by. iptables cannot tell where packets
   * are forwarded: there it matches everything.
   */
  readonly unrouted?: true;
}

export type Verdict =
  | { readonly kind: 'accept' }
  | { readonly kind: 'drop' }
  | { readonly kind: 'return' }
  /** Lowers the maximum segment size to what the packet's way can carry, and goes on with the next rule. */
  | { readonly kind: 'clamp-mss' }
  | { readonly kind: 'reject'; readonly with: 'tcp-reset' | 'port-unreachable' }
  /** `ports` are the source ports to translate to; null keeps the port where possible. */
  | { readonly kind: 'masquerade'; readonly ports: Ports | null };

export interface Rule extends Match {
  readonly verdict: Verdict;
}

/**
 * Backend-neutral rules of one network and family, in order. See docs/how-it-works.md, "What is on the host".
 */
export interface Ruleset {
  readonly bridge: string;
  readonly family: Family;
  /** Packets forwarded to and from machines. */
  readonly forward: readonly Rule[];
  /** Packets to the host itself. */
  readonly input: {
    /** Judge only packets from this link; null judges all (`host-firewall = strict`). */
    readonly only: string | null;
    readonly rules: readonly Rule[];
  };
  readonly postrouting: readonly Rule[];
  /** Packets that arrive, before any translation. */
  readonly early: readonly Rule[];
  /** The packets that forwards translate; null where there are no forwards, as with IPv6. */
  readonly translations: {
    /** Conditions on packets that come from other hosts and from machines. */
    readonly arriving: Match;
    /** Conditions on packets of the host itself. */
    readonly local: Match;
  } | null;
}
