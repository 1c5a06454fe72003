// The way of answers to machines: a rule of routing that is asked before the main table may lead them elsewhere, or
// refuse them.

import { formatIp, type IpAddress, prefixContains } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import type { System } from '../system/system.ts';
import { type LinksAndRoutes, parseDestination, type Route } from './links.ts';
import { anywhere, routeTo } from './route-to.ts';
import { type RoutingRule, refusingTypes } from './routing-rules.ts';

/** A rule because of which packets to machines do not leave by the bridge. */
export interface Detour {
  readonly bridge: string;
  readonly subnet: NetworkConfig['subnet'];
  /** The routing table, by its number or name; null where the rule itself refuses packets. */
  readonly table: string | null;
  readonly priority: number;
  /** The link that the packets leave by; null where they are refused. */
  readonly link: string | null;
}

/** A packet to a machine: of the host, of the gateway's address, or from the outside by a link. */
interface Packet {
  /** Arguments of `ip route get`. */
  readonly query: readonly string[];
  readonly incoming: string | null;
}

/**
 * Asks the kernel for the routes of packets to a machine, if there are rules that are asked before the main table.
 * Returns null where the bridge, or a route of the main table, is the way.
 */
export async function findDetour(
  { run }: Pick<System, 'run'>,
  { bridge, subnet, gateway, range }: Pick<NetworkConfig, 'bridge' | 'subnet' | 'gateway' | 'range'>,
  { links, routes, routingRules }: LinksAndRoutes,
): Promise<Detour | null> {
  const machine = range.last;
  const early = routingRules.filter(
    ({ isEarly, to }) => isEarly && (to === null || prefixContains(to, machine)),
  );
  if (early.length === 0) return null;
  const incoming = links
    .map(({ name }) => name)
    .filter(name => name !== bridge && name !== 'lo' && early.some(rule => rule.incoming === name));
  const packets: Packet[] = [
    { query: [], incoming: null },
    ...(early.some(({ hasSource }) => hasSource)
      ? [{ query: ['from', formatIp(gateway)], incoming: null }]
      : []),
    ...incoming.map(name => ({ query: ['from', anywhere, 'iif', name], incoming: name })),
  ];
  for (const packet of packets) {
    const found = await routeTo(run, machine, packet.query);
    if (found.link === bridge) continue;
    const met = early.filter(rule => rule.incoming === null || rule.incoming === packet.incoming);
    const rule = met.find(each =>
      found.link === null ? isRefusing(each, routes, machine) : each.table === found.table,
    );
    if (rule !== undefined) {
      const { table, priority } = rule;
      return { bridge, subnet, table, priority, link: found.link };
    }
  }
  return null;
}

/** Returns whether a rule refuses packets to an address, or leads to a table with a route that does. */
export function isRefusing(
  { refuses, table }: Pick<RoutingRule, 'refuses' | 'table'>,
  routes: readonly Route[],
  address: IpAddress,
): boolean {
  const refusing = routes.filter(route => route.table === table && refusingTypes.includes(route.type));
  return refuses || refusing.some(({ destination }) => leadsTo(destination, address));
}

function leadsTo(destination: string, address: IpAddress): boolean {
  if (destination === 'default') return true;
  const to = parseDestination(destination);
  return to !== null && prefixContains(to, address);
}
