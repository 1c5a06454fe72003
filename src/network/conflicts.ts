// Conflicts between a network's subnet and networks that the host has already. Pure.
import { formatPrefix, prefixesOverlap } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import type { KnownSubnet } from './links.ts';

/** An overlap of a network's subnet with another network of the host. */
export interface Conflict {
  readonly network: Pick<NetworkConfig, 'name' | 'subnet'>;
  readonly other: Pick<KnownSubnet, 'subnet' | 'link' | 'by'>;
}

/**
 * Returns the networks that take addresses of a subnet, one per link: the kernel would send packets for
 * machines there, or the subnet would cut off hosts of a link's own network. A wider route loses against the
 * subnet, like a default route, and does not count.
 */
export function findConflicts(network: NetworkConfig, known: readonly KnownSubnet[]): Conflict[] {
  const overlapping = known.filter(other => other.link !== network.bridge && takes(other, network.subnet));
  return overlapping
    .filter((other, index) => overlapping.findIndex(({ link }) => link === other.link) === index)
    .map(({ subnet, link, by }) => ({ network, other: { subnet, link, by } }));
}

function takes({ subnet, by, yields }: KnownSubnet, wanted: NetworkConfig['subnet']): boolean {
  if (!prefixesOverlap(subnet, wanted)) return false;
  if (by === 'address') return true;
  return subnet.length > wanted.length || (subnet.length === wanted.length && !yields);
}

/** Describes a conflict in one line, with the remedy. */
export function conflictText({ network, other }: Conflict): string {
  const link = other.link === null ? 'a route without a link' : other.link;
  const place = other.by === 'route' && other.link !== null ? `a route on ${link}` : link;
  const remedy = `choose another subnet for [network.${network.name}] in virlan.ini, or remove the other one`;
  return `subnet ${formatPrefix(network.subnet)} overlaps ${formatPrefix(other.subnet)} of ${place}: ${remedy}`;
}
