// The tunnel of a network to the other hosts of its cluster: a VXLAN link that is a port of the bridge. Pure.
import type { Ipv4 } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import type { RuleDrift } from '../firewall/drift.ts';
import type { FoundBgp, Speaker } from './bgp.ts';
import type { TunnelTable } from './fdb.ts';

/** A tunnel as it is desired. */
export interface Tunnel {
  readonly mac: Mac;
  /** In bytes. */
  readonly mtu: number;
  readonly vni: number;
  /** The address of this host. */
  readonly local: Ipv4;
  /** The hosts to which frames go whose receiver is not known; without learning, FRR names them. */
  readonly peers: readonly Ipv4[];
  /** True if the kernel learns from frames where machines are; otherwise FRR learns it by BGP. */
  readonly learns: boolean;
  /** This host in BGP; null where it needs none. */
  readonly speaker: Speaker | null;
  /** Tables of nftables, without which the link is not in the bridge. */
  readonly filter: string;
}

/** The link of a tunnel as found. */
export interface TunnelLink {
  readonly mac: Mac;
  /** In bytes. */
  readonly mtu: number;
  /** Null for a link whose keys or addresses are not those of a tunnel of virlan's. */
  readonly end: { readonly vni: number; readonly local: Ipv4; readonly learns: boolean } | null;
  /** True if its port answers ARP for machines of other hosts, and learns nothing from frames. */
  readonly isForEvpn: boolean;
  readonly master: string | null;
  readonly up: boolean;
}

/** A tunnel as found. */
export interface FoundTunnel extends TunnelTable {
  /** Null where it is not read: virlan has nothing to do with it. */
  readonly bgp: FoundBgp | null;
  readonly link: TunnelLink | null;
  readonly filter: {
    readonly present: boolean;
    /** The filter that virlan loaded last; null when it is not known. */
    readonly loaded: string | null;
    readonly drift: readonly RuleDrift[];
  };
}

/** A change that leads from a tunnel that is found to one that is desired. */
export type TunnelChange =
  | { readonly kind: 'remove link' }
  | { readonly kind: 'add link'; readonly tunnel: Tunnel }
  | { readonly kind: 'set mtu'; readonly from: number; readonly to: number }
  | { readonly kind: 'set peers'; readonly missing: readonly Ipv4[]; readonly surplus: readonly Ipv4[] }
  /** Puts the link into the bridge, once the filter is in force. */
  | { readonly kind: 'connect'; readonly tunnel: Tunnel; readonly drift: readonly RuleDrift[] }
  | { readonly kind: 'remove filter' };

/** Returns the changes in their order. The filter is removed once there is no link. */
export function compareTunnels(bridge: string, wanted: Tunnel | null, found: FoundTunnel): TunnelChange[] {
  const { link, filter } = found;
  if (wanted === null) {
    return [
      ...(link === null ? [] : [{ kind: 'remove link' } as const]),
      ...(filter.present ? [{ kind: 'remove filter' } as const] : []),
    ];
  }
  // The kernel changes neither number nor address of a tunnel in place.
  const isSame =
    link !== null &&
    link.mac === wanted.mac &&
    link.end?.vni === wanted.vni &&
    link.end.local === wanted.local &&
    link.end.learns === wanted.learns;
  const kept = isSame ? link : null;
  const peers = kept === null || !wanted.learns ? [] : found.peers;
  const missing = wanted.peers.filter(peer => !peers.includes(peer));
  const surplus = peers.filter(peer => !wanted.peers.includes(peer));
  const isConnected = kept?.master === bridge && kept.up && (wanted.learns || kept.isForEvpn);
  const isFiltered = filter.present && filter.loaded === wanted.filter && filter.drift.length === 0;
  return [
    ...(link !== null && !isSame ? [{ kind: 'remove link' } as const] : []),
    ...(kept === null ? [{ kind: 'add link', tunnel: wanted } as const] : []),
    ...(kept === null || kept.mtu === wanted.mtu
      ? []
      : [{ kind: 'set mtu', from: kept.mtu, to: wanted.mtu } as const]),
    ...(missing.length + surplus.length === 0 ? [] : [{ kind: 'set peers', missing, surplus } as const]),
    ...(isConnected && isFiltered ? [] : [{ kind: 'connect', tunnel: wanted, drift: filter.drift } as const]),
  ];
}
