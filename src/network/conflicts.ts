import { formatPrefix, type Prefix, prefixesOverlap } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';

/** A network the host knows already: by an address of one of its links, or by a route. */
export interface KnownSubnet {
  readonly subnet: Prefix;
  /** The link it is behind; null for a route without one, as a blackhole. */
  readonly link: string | null;
  readonly by: 'address' | 'route';
}

/**
 * What of the host overlaps a network's subnet, each as a line with what to do. A default route overlaps everything and
 * means nothing; a VPN writes it as two halves (`redirect-gateway def1`), so a prefix of 1 counts as default too.
 */
export function findConflicts(network: NetworkConfig, known: readonly KnownSubnet[]): string[] {
  const overlapping = known.filter(
    ({ subnet, link }) =>
      link !== network.bridge && subnet.length > 1 && prefixesOverlap(subnet, network.subnet),
  );
  const lines = overlapping.map(({ subnet, link, by }) => {
    const place = link === null ? 'a route without a link' : `${by === 'route' ? 'a route on ' : ''}${link}`;
    const remedy = `choose another subnet for [network.${network.name}] in virlan.ini, or take that one away`;
    return `subnet ${formatPrefix(network.subnet)} overlaps ${formatPrefix(subnet)} of ${place}: ${remedy}`;
  });
  // A link's address and its route say the same twice.
  const byLink = new Map(
    lines.map((line, index) => [overlapping[index]?.link, line]).reverse() as [string | null, string][],
  );
  return [...byLink.values()].reverse();
}
