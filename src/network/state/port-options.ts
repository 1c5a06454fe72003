// Lists the options of a port of a bridge that the kernel forgets when the port leaves the bridge. Pure.
import type { Mac } from '../../address/mac.ts';

/** The options of a port that are on or off, and what the kernel sets for a new port. */
export const newPortFlags = {
  isolated: false,
  hairpin: false,
  learning: true,
  flood: true,
  mcast_flood: true,
  bcast_flood: true,
  mcast_to_unicast: false,
  neigh_suppress: false,
  neigh_vlan_suppress: false,
  vlan_tunnel: false,
  proxy_arp: false,
  proxy_arp_wifi: false,
  fastleave: false,
  locked: false,
  // The kernel refuses it for a port that is not locked.
  mab: false,
  root_block: false,
  guard: false,
} as const satisfies Record<string, boolean>;

/** The options of a port that are numbers, and what the kernel sets for a new port. */
export const newPortNumbers = {
  /** The kernel's cost for a link of 10 Mbit/s, such as a tap. */
  cost: 100,
  'port priority': 32,
  mcast_router: 1,
} as const satisfies Record<string, number>;

export type PortFlag = keyof typeof newPortFlags;

export type PortNumber = keyof typeof newPortNumbers;

/** The options of a port that differ from those of a new one. */
export type PortOptions = { readonly [flag in PortFlag]?: boolean | undefined } & {
  readonly [name in PortNumber]?: number | undefined;
};

/** A VLAN that a port is in, where its bridge keeps VLANs apart. */
export interface PortVlan {
  readonly vid: number;
  /** True if frames without a tag that come in by the port are in it. */
  readonly isPvid: boolean;
  /** True if its frames leave by the port without a tag. */
  readonly isUntagged: boolean;
}

/** An entry of a bridge's table of MACs that somebody has added: behind which port a MAC is. */
export interface StaticEntry {
  readonly mac: Mac;
  /** True if it stays as it is when a frame from this MAC comes in by another port. */
  readonly isSticky: boolean;
}
