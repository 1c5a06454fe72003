// A host of a cluster as another one finds it. Pure.
import type { Ipv4 } from '../address/ip.ts';

/**
 * The way of a peer to answer: to a packet of the size of the tunnel's largest, or why there is no answer.
 * 'unknown': it is reachable, and without ping no large packet is sent. The names are those of `status --json`.
 */
export type PeerAnswer = 'answers' | 'no-route' | 'silent' | 'refuses' | 'too-large' | 'unknown';

/** A peer that was asked. */
export interface PeerReport {
  readonly peer: Ipv4;
  readonly answer: PeerAnswer;
  /** The size of the packet that was sent to it: that of the tunnel's largest. */
  readonly bytes: number;
  /** The MTU with which packets of the tunnel are not too large, as far as the kernel was told; null otherwise. */
  readonly mtu: number | null;
}

/** Observations of one peer. */
export interface PeerTrial {
  /** False where the kernel has no route from this host's address to the peer. */
  readonly hasRoute: boolean;
  /** True if an ICMP error says that the peer does not receive at the port of VXLAN. */
  readonly refusesVxlan: boolean;
  /** True if a large ping was answered; null where ping is not installed. */
  readonly largePing: boolean | null;
  /** True if anything was answered. */
  readonly isReachable: boolean;
}

/** Judges a peer. One that answers may still drop packets of tunnels silently: that cannot be told from here. */
export function judgePeer({ hasRoute, largePing, isReachable, refusesVxlan }: PeerTrial): PeerAnswer {
  if (!hasRoute) return 'no-route';
  if (refusesVxlan) return 'refuses';
  if (largePing === true) return 'answers';
  if (!isReachable) return 'silent';
  return largePing === null ? 'unknown' : 'too-large';
}

/** Reads from `ip -json route get` the largest packet on a way; null where the kernel knows no limit of its own. */
export function parsePathBytes(output: string): number | null {
  const [route] = JSON.parse(output || '[]') as { metrics?: { mtu?: number }[] }[];
  return route?.metrics?.find(({ mtu }) => mtu !== undefined)?.mtu ?? null;
}
