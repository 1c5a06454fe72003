// Conflicts between a network and those that the host has already. Pure.
import { formatPrefix, prefixesOverlap } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import type { KnownSubnet } from './links.ts';

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

/** Describes an obstacle in one line, with the remedy. */
export function obstacleText(obstacle: Obstacle): string {
  switch (obstacle.kind) {
    case 'conflict':
      return conflictText(obstacle.conflict);
    case 'bridge-is-uplink':
      return `${obstacle.bridge} is this host's own way to the outside, and virlan's network would take it over: choose another bridge in virlan.ini`;
    case 'bridge-of-libvirt':
      return `${obstacle.bridge} is the bridge of libvirt's network ${JSON.stringify(obstacle.network)}: stop that network, or choose another bridge in virlan.ini`;
  }
}

/** Describes a conflict in one line, with the remedy. */
export function conflictText({ network, other, made }: Conflict): string {
  const link = other.link === null ? 'a route without a link' : other.link;
  const place = other.by === 'route' && other.link !== null ? `a route on ${link}` : link;
  const removal = removalOf({ made });
  if (removal !== null)
    return `subnet ${formatPrefix(network.subnet)} overlaps that of ${link}, a network that virlan made by an earlier virlan.ini: ${removal} removes it`;
  const remedy = `choose another subnet for [network.${network.name}] in virlan.ini, or remove the other one`;
  return `subnet ${formatPrefix(network.subnet)} overlaps ${formatPrefix(other.subnet)} of ${place}: ${remedy}`;
}

/** Returns the command that removes a conflicting network of virlan's; null where it is another program's. */
export function removalOf({ made }: Pick<Conflict, 'made'>): string | null {
  return made === null ? null : `virlan down ${made}`;
}
