// The way of answers to machines: a rule of routing that is asked before the main table, or a route of table `local`,
// may lead them elsewhere, keep them on this host, or refuse them. It may be about all machines, or a part of the
// subnet alone:
//   ip rule add to 192.168.100.128/26 lookup 77
//   ip rule add ipproto udp sport 53 blackhole
//   ip route add local 192.168.100.128/25 dev lo
import { formatIp, type IpAddress, type Ipv4, type Prefix, prefixContains } from '../../address/ip.ts';
import type { NetworkConfig } from '../../config/config.ts';
import type { System } from '../../system/system.ts';
import { type LinksAndRoutes, parseDestination, type Route } from '../kernel/links.ts';
import {
  type PacketKind,
  queryOf,
  type RoutedPacket,
  type RoutingRule,
  refusingTypes,
  selects,
} from '../kernel/routing-rules.ts';
import { anywhere, type PacketRoute, routeTo } from './route-to.ts';
import { commonPart, machinesOf } from './subnet-parts.ts';

/** A rule or a route because of which packets to machines do not leave by the bridge. */
export interface Detour {
  readonly bridge: string;
  readonly subnet: NetworkConfig['subnet'];
  /** The part of the subnet that alone is concerned; null for all of it. */
  readonly part: Prefix<Ipv4> | null;
  /** The link that the packets leave by; null where they are refused. */
  readonly link: string | null;
  readonly by: DetourRule | LocalRoute;
}

export interface DetourRule {
  readonly kind: 'rule';
  /** The routing table, by its number or name; null where the rule itself refuses packets. */
  readonly table: string | null;
  readonly priority: number;
  /** The kind of packets that alone is concerned; null for all. */
  readonly only: PacketKind | null;
}

/** A route of table `local`, which every host asks first, that no address of this host brought. */
export interface LocalRoute extends Pick<Route, 'type' | 'destination' | 'link'> {
  readonly kind: 'local-route';
}

/** A packet to a machine: of the host, of the gateway's address, or from the outside by a link. */
interface Packet extends RoutedPacket {
  /** Arguments of `ip route get`. */
  readonly query: readonly string[];
}

type Network = Pick<NetworkConfig, 'bridge' | 'subnet' | 'gateway' | 'range'>;

/** Most addresses of machines that the kernel is asked about. */
const maxAddresses = 16;

/** Most kinds of packets to each that it is asked about. */
const maxKinds = 8;

/**
 * Asks the kernel for the routes of packets to machines, if there are rules or routes that may lead them elsewhere:
 * to an address of each part of the subnet that one of them is about. Returns none where the bridge, or a route of the
 * main table, is the way.
 */
export async function findDetours(
  { run }: Pick<System, 'run'>,
  network: Network,
  host: LinksAndRoutes,
): Promise<Detour[]> {
  const { subnet } = network;
  const early = host.routingRules.filter(({ isEarly, to }) => isEarly && commonPart(subnet, to) !== null);
  const isAsked = ({ table, isOfKernel }: Route) =>
    table === 'local' ? !isOfKernel : early.some(rule => rule.table === table);
  const routes = host.routes.filter(route => route.family === 'ipv4' && isAsked(route));
  const about = [
    ...early.map(({ to }) => to),
    ...routes.map(({ destination }) => parseDestination(destination)),
  ];
  const parts = about.map(prefix => commonPart(subnet, prefix)).filter(part => part !== null);
  const addresses = new Set(parts.flatMap(part => machinesOf(part, network)));
  const found = new Map<string, Detour>();
  for (const address of [...addresses].slice(0, maxAddresses)) {
    const detour = await findDetour(run, address, network, { ...host, routes, routingRules: early });
    if (detour !== null) found.set(JSON.stringify([detour.part, detour.by]), detour);
  }
  return [...found.values()];
}

async function findDetour(
  run: System['run'],
  address: Ipv4,
  { bridge, subnet, gateway }: Network,
  { links, routes, routingRules }: LinksAndRoutes,
): Promise<Detour | null> {
  const rules = routingRules.filter(({ to }) => to === null || prefixContains(to, address));
  const covering = routes.filter(({ destination }) => leadsTo(destination, address)).sort(byLength);
  const incoming = links
    .map(({ name }) => name)
    .filter(name => name !== bridge && name !== 'lo' && rules.some(rule => rule.incoming === name));
  const ways = [
    { query: [], incoming: null },
    ...(rules.some(({ hasSource }) => hasSource)
      ? [{ query: ['from', formatIp(gateway)], incoming: null }]
      : []),
    ...incoming.map(name => ({ query: ['from', anywhere, 'iif', name], incoming: name })),
  ];
  const kinds = rules.flatMap(({ only }) => {
    const kind = only === null ? null : queryOf(only);
    return kind === null ? [] : [{ kind, only }];
  });
  const packets: Packet[] = [
    ...ways.map(way => ({ ...way, only: null })),
    ...kinds
      .slice(0, maxKinds)
      .flatMap(({ kind, only }) => ways.map(way => ({ ...way, query: [...way.query, ...kind], only }))),
  ];
  for (const packet of packets) {
    const found = await routeTo(run, address, packet.query);
    const { link } = found;
    if (link === bridge && found.type === 'unicast') continue;
    const local = covering.find(route => route.table === 'local' && explains(route, found));
    if (local !== undefined) {
      const { type, destination } = local;
      const by = { kind: 'local-route', type, destination, link: local.link } as const;
      return { bridge, subnet, part: partOf(subnet, [parseDestination(destination)]), link, by };
    }
    const rule = rules
      .filter(each => selects(each, packet))
      .find(each => (link === null ? isRefusing(each, routes, address) : each.table === found.table));
    if (rule === undefined || link === bridge) continue;
    const { table, priority, to, only } = rule;
    const route = covering.find(each => each.table === table);
    const part = partOf(subnet, [to, route === undefined ? null : parseDestination(route.destination)]);
    return { bridge, subnet, part, link, by: { kind: 'rule', table, priority, only } };
  }
  return null;
}

/** Returns whether a route of table `local` is the one of the kernel's answer. */
function explains({ type }: Route, found: PacketRoute): boolean {
  // On a host without routing rules of its own, the kernel asks no other table after a `throw` in this one.
  if (found.link === null) return refusingTypes.includes(type) || type === 'throw';
  // Nor does its answer name this table there.
  return (found.table === 'local' || found.table === 'main') && type === found.type;
}

/** Returns the narrowest of the subnet and these prefixes around it or in it; null for all of the subnet. */
function partOf(subnet: Prefix<Ipv4>, prefixes: readonly (Prefix | null)[]): Prefix<Ipv4> | null {
  const parts = prefixes.map(prefix => commonPart(subnet, prefix)).filter(part => part !== null);
  const [narrowest = subnet] = parts.sort((one, other) => other.length - one.length);
  return narrowest.length === subnet.length ? null : narrowest;
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

/** Sorts routes as the kernel prefers them: those with the longest prefix first. */
function byLength(one: Route, other: Route): number {
  const length = ({ destination }: Route) => parseDestination(destination)?.length ?? 0;
  return length(other) - length(one);
}
