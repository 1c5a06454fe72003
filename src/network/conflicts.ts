// Conflicts between a network's subnet and networks that the host has already. Pure.
import { formatPrefix, prefixesOverlap } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import type { KnownSubnet } from './links.ts';

/** An overlap of a network's subnet with another network of the host. */
export interface Conflict {
  readonly network: Pick<NetworkConfig, 'name' | 'subnet'>;
  readonly other: KnownSubnet;
}

/**
 * Returns the networks that overlap a subnet, one per link. A default route overlaps everything and does not
 * count; a VPN writes it as two halves (`redirect-gateway def1`), so a prefix length of 1 does not count
 * either.
 */
export function findConflicts(network: NetworkConfig, known: readonly KnownSubnet[]): Conflict[] {
  const overlapping = known.filter(
    ({ subnet, link }) =>
      link !== network.bridge && subnet.length > 1 && prefixesOverlap(subnet, network.subnet),
  );
  return overlapping
    .filter((other, index) => overlapping.findIndex(({ link }) => link === other.link) === index)
    .map(other => ({ network, other }));
}

/** Describes a conflict in one line, with the remedy. */
export function conflictText({ network, other }: Conflict): string {
  const link = other.link === null ? 'a route without a link' : other.link;
  const place = other.by === 'route' && other.link !== null ? `a route on ${link}` : link;
  const remedy = `choose another subnet for [network.${network.name}] in virlan.ini, or remove the other one`;
  return `subnet ${formatPrefix(network.subnet)} overlaps ${formatPrefix(other.subnet)} of ${place}: ${remedy}`;
}
