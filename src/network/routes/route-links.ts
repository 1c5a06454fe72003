// The links by which the host reaches the outside and other networks, and the networks behind machines. Pure.
import { type Prefix, prefixesOverlap } from '../../address/ip.ts';
import type { NetworkConfig } from '../../config/config.ts';
import { type LinksAndRoutes, parseDestination, type Route } from '../kernel/links.ts';
import { askedTables } from '../kernel/routing-rules.ts';

/** The destinations of a default route; VPNs write it as two halves, so that it precedes the LAN's. */
const everywhere: readonly string[] = ['default', '0.0.0.0/0', '0.0.0.0/1', '128.0.0.0/1'];

/** Returns the links of the host's IPv4 default routes, in the order of their names. */
export function defaultLinks(host: LinksAndRoutes): string[] {
  return linksOf(host, destination => everywhere.includes(destination));
}

/** Returns the links to networks that the host reaches by IPv4, in the order of their names. */
export function linksOfRoutes(host: LinksAndRoutes): string[] {
  return linksOf(host, () => true);
}

function linksOf(
  { routes, routingRules }: LinksAndRoutes,
  leads: (destination: string) => boolean,
): string[] {
  const asked = askedTables(routingRules);
  const links = routes.flatMap(({ destination, link, type, table, family }) => {
    const isUsed = family === 'ipv4' && type === 'unicast' && asked.includes(table) && leads(destination);
    return isUsed && link !== null ? [link] : [];
  });
  return [...new Set(links)].sort();
}

/** Returns the networks that the main table leads to by the bridge, behind machines, in the order of their text. */
export function networksBehind(
  { routes }: Pick<LinksAndRoutes, 'routes'>,
  { bridge, subnet }: Pick<NetworkConfig, 'bridge' | 'subnet'>,
): Prefix[] {
  const isBehind = ({ link, type, table, family, isOfKernel }: Route) =>
    link === bridge && type === 'unicast' && table === 'main' && family === 'ipv4' && !isOfKernel;
  const destinations = routes.filter(isBehind).map(({ destination }) => destination);
  return [...new Set(destinations)]
    .sort()
    .flatMap(destination => parseDestination(destination) ?? [])
    .filter(prefix => !prefixesOverlap(prefix, subnet));
}

/** Returns whether the rules of a network depend on the host's default routes. */
export function needsDefaultLinks({ mode, outside, uplink }: NetworkConfig): boolean {
  return outside === 'uplink' && uplink === null && (mode === 'nat' || mode === 'routed');
}
