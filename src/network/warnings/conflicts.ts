// Conflicts between a network and those that the host has already. Pure.
import { prefixesOverlap } from '../../address/ip.ts';
import type { NetworkConfig } from '../../config/config.ts';
import type { KnownSubnet } from '../kernel/links.ts';

/** An overlap of a network's subnet with another network of the host. */
export interface Conflict {
  readonly network: Pick<NetworkConfig, 'name' | 'subnet'>;
  readonly other: Pick<KnownSubnet, 'subnet' | 'link' | 'by'>;
  /** The name of the network if the link is the bridge of one that virlan has made; null for another link. */
  readonly made: string | null;
}

/**
 * Returns the networks that take addresses of a subnet, one per link: the kernel would send packets for
 * machines there, or the subnet would cut off hosts of a link's own network. A wider route loses against the
 * subnet, like a default route, and does not count. `made`: bridge → name of the networks that virlan has made.
 */
export function findConflicts(
  network: NetworkConfig,
  known: readonly KnownSubnet[],
  made: ReadonlyMap<string, string>,
): Conflict[] {
  const overlapping = known.filter(other => other.link !== network.bridge && takes(other, network.subnet));
  return overlapping
    .filter((other, index) => overlapping.findIndex(({ link }) => link === other.link) === index)
    .map(({ subnet, link, by }) => ({
      network,
      other: { subnet, link, by },
      made: (link === null ? undefined : made.get(link)) ?? null,
    }));
}

function takes({ subnet, by, yields }: KnownSubnet, wanted: NetworkConfig['subnet']): boolean {
  if (!prefixesOverlap(subnet, wanted)) return false;
  if (by === 'address') return true;
  return subnet.length > wanted.length || (subnet.length === wanted.length && !yields);
}

/** A reason not to establish a network. */
export type Obstacle =
  /** Another network of the host overlaps the subnet. */
  | { readonly kind: 'conflict'; readonly conflict: Conflict }
  /**
   * A default route of the host leaves by the bridge: as a network of machines it would get another MAC, and DHCP
   * would answer the clients of a LAN.
   */
  | { readonly kind: 'bridge-is-uplink'; readonly bridge: string }
  /** libvirt made the bridge for a network of its own, and would remove it. The network's name is hostile. */
  | { readonly kind: 'bridge-of-libvirt'; readonly bridge: string; readonly network: string };
