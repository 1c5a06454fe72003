// Reads links and routes from the output of `ip -json -details`, and derives the networks of the host. Pure.
import {
  type Family,
  type IpAddress,
  type Ipv4,
  type Prefix,
  parseAddressWithPrefix,
  parseIp,
  parseIpv4,
  prefixOf,
} from '../../address/ip.ts';
import { type Mac, parseMac } from '../../address/mac.ts';
import {
  newPortFlags,
  newPortNumbers,
  type PortFlag,
  type PortNumber,
  type PortOptions,
} from '../state/port-options.ts';
import type { LinkAddress } from '../state/state.ts';
import { askedTables, type IpRule, type RoutingRule, readRule } from './routing-rules.ts';

export interface Link {
  /** The kernel never gives it to another link. */
  readonly index: number;
  readonly name: string;
  readonly type: string | null;
  readonly mac: Mac | null;
  /** In bytes. */
  readonly mtu: number;
  readonly up: boolean;
  readonly arp: boolean;
  readonly master: string | null;
  readonly stp: boolean;
  readonly priority: number;
  /**
   * In hundredths of a second. Null while another bridge is the root of the spanning tree: the kernel then
   * works with the root's delay, and shows no other.
   */
  readonly forwardDelay: number | null;
  /** The number of the port that leads to the spanning tree's root; 0 if the bridge is the root. */
  readonly rootPort: number;
  /** Null for another type of link. */
  readonly vxlan: Vxlan | null;
  /** Null for a link that is in no bridge. */
  readonly port: BridgePort | null;
  readonly addresses: readonly LinkAddress[];
}

/** The keys of a link of type vxlan. */
export interface Vxlan {
  readonly vni: number;
  readonly local: Ipv4 | null;
  readonly port: number;
  /** True if it remembers behind which host the sender of a frame is. */
  readonly learning: boolean;
}

/** A link as a port of a bridge. */
export interface BridgePort {
  readonly number: number;
  readonly options: PortOptions;
  /** Bit N: frames to 01:80:c2:00:00:0N are forwarded like others. */
  readonly groupForwardMask: number;
}

export interface Route {
  readonly destination: string;
  /** Null for a route without a link, such as a blackhole. */
  readonly link: string | null;
  readonly type: string;
  /** By name where iproute2 knows one: `main`. */
  readonly table: string;
  readonly family: Family;
  /** The kernel prefers the lowest among routes to the same destination. */
  readonly metric: number;
  /** True for one that the kernel made itself, with an address of a link. */
  readonly isOfKernel: boolean;
}

/** The links of the host, and the routes of all its routing tables, those of VPNs included. */
export interface LinksAndRoutes {
  readonly links: readonly Link[];
  readonly routes: readonly Route[];
  readonly routingRules: readonly RoutingRule[];
}

/** A network that the host has already, by an address of one of its links or by a route. */
export interface KnownSubnet {
  readonly subnet: Prefix;
  /** The link it is behind; null for a route without one. */
  readonly link: string | null;
  readonly by: 'address' | 'route';
  /** True for a route that loses against one to the same destination that a link's address brings. */
  readonly yields: boolean;
}

interface IpVxlan {
  id?: number;
  local?: string;
  port?: number;
  learning?: boolean;
}

type IpPort = { [flag in PortFlag]?: boolean } & {
  no?: string;
  group_fwd_mask?: string;
  cost?: number;
  priority?: number;
  multicast_router?: number;
};

interface IpLink {
  ifindex: number;
  ifname: string;
  address?: string;
  mtu: number;
  flags: string[];
  master?: string;
  linkinfo?: {
    info_kind?: string;
    info_data?: {
      stp_state?: number;
      priority?: number;
      forward_delay?: number;
      root_port?: number;
    } & IpVxlan;
    info_slave_kind?: string;
    info_slave_data?: IpPort;
  };
  addr_info?: { family: string; local?: string; prefixlen?: number; broadcast?: string }[];
}

interface IpRoute {
  dst: string;
  dev?: string;
  type?: string;
  table?: string;
  metric?: number;
  protocol?: string;
  /** The preference among routers; every route of IPv6 has one. */
  pref?: string;
  /** In the place of `dev`, of a route with several next hops. */
  nexthops?: Pick<IpRoute, 'dev'>[];
}

/**
 * Reads the lines that `ip -json -details -batch -` prints for `address show`, `route show table all` and `rule
 * show`.
 */
export function parseLinksAndRoutes(output: string): LinksAndRoutes {
  const [links = '', routes = '', rules = ''] = output.split('\n');
  return {
    links: (JSON.parse(links || '[]') as IpLink[]).map(readLink),
    routes: (JSON.parse(routes || '[]') as IpRoute[]).flatMap(readRoute),
    routingRules: (JSON.parse(rules || '[]') as IpRule[]).map(readRule),
  };
}

/** Returns a route for each next hop. */
function readRoute({ type = 'unicast', table = 'main', metric = 0, ...route }: IpRoute): Route[] {
  const hops = route.nexthops ?? [route];
  return hops.map(({ dev = null }) => ({
    destination: route.dst,
    link: dev,
    type,
    table,
    family: route.pref !== undefined || route.dst.includes(':') ? 'ipv6' : 'ipv4',
    metric,
    isOfKernel: route.protocol === 'kernel',
  }));
}

function readLink(link: IpLink): Link {
  const addresses = link.addr_info ?? [];
  const { info_kind, info_data = {}, info_slave_kind, info_slave_data = {} } = link.linkinfo ?? {};
  const rootPort = info_data.root_port ?? 0;
  return {
    index: link.ifindex,
    name: link.ifname,
    type: info_kind ?? null,
    mac: parseMac(link.address ?? ''),
    mtu: link.mtu,
    up: link.flags.includes('UP'),
    arp: !link.flags.includes('NOARP'),
    master: link.master ?? null,
    stp: info_data.stp_state === 1,
    priority: info_data.priority ?? 0,
    forwardDelay: rootPort === 0 ? (info_data.forward_delay ?? 0) : null,
    rootPort,
    vxlan: info_kind === 'vxlan' ? readVxlan(info_data) : null,
    port: info_slave_kind === 'bridge' ? readPort(info_slave_data) : null,
    addresses: addresses.filter(({ family }) => family === 'inet').flatMap(readAddress),
  };
}

function readVxlan({ id = 0, local = '', port = 0, learning = false }: IpVxlan): Vxlan {
  return { vni: id, local: parseIpv4(local), port, learning };
}

/**
 * The costs that the kernel gives a new port by the speed of its link (port_cost in net/bridge/br_if.c): one of them is
 * taken for the kernel's choice, which it makes again.
 */
const costsBySpeed: readonly number[] = [1, 2, 3, 4, 5, 19, newPortNumbers.cost];

/** Two numbers are texts: `"no":"0x1"`, and `"group_fwd_mask":"1"` in hexadecimal digits. */
function readPort({ no = '', group_fwd_mask = '', ...found }: IpPort): BridgePort {
  const { cost = newPortNumbers.cost, priority, multicast_router: mcast_router } = found;
  const values = {
    ...found,
    cost: costsBySpeed.includes(cost) ? newPortNumbers.cost : cost,
    'port priority': priority,
    mcast_router,
  };
  const options = Object.entries({ ...newPortFlags, ...newPortNumbers }).flatMap(([name, ofNewPort]) => {
    const value = values[name as PortFlag | PortNumber];
    return value === undefined || value === ofNewPort ? [] : [[name, value]];
  });
  return {
    number: Number.parseInt(no, 16),
    options: Object.fromEntries(options),
    groupForwardMask: Number.parseInt(group_fwd_mask, 16) || 0,
  };
}

/**
 * Returns whether frames from outside of the host may come in by a link: it is a network card, or stands for
 * one or several.
 */
export function leadsToLan({ type }: Pick<Link, 'type'>): boolean {
  return type === null || lanLinkTypes.includes(type);
}

/** A network card has no type. */
const lanLinkTypes: readonly string[] = ['bond', 'team', 'vlan', 'macvlan', 'ipvlan', 'hsr'];

function readAddress({
  local = '',
  prefixlen = 32,
  broadcast = '',
}: NonNullable<IpLink['addr_info']>[number]) {
  const ip = parseIp(local);
  return ip === null ? [] : [{ ip, prefixLength: prefixlen, broadcast: parseIpv4(broadcast) }];
}

/**
 * Returns whether a link has an IPv6 address besides the link-local one that the kernel adds, according to
 * /proc/net/if_inet6. A line of it: address, index, prefix length, scope (0 is global), flags, link.
 *
 *   fd000000000000000000000000000001 03 40 00 80 k8s-br0
 */
export function hasGlobalIpv6(link: string, addresses: string): boolean {
  return addresses.split('\n').some(line => {
    const [, , , scope, , name] = line.trim().split(/\s+/);
    return name === link && scope === '00';
  });
}

/** Routes of the host's own addresses and of groups, and `throw`: the next table is asked as if it were not there. */
const typesWithoutNetwork: readonly string[] = ['local', 'broadcast', 'multicast', 'anycast', 'throw'];

/**
 * Returns the networks of the host, by its links' addresses and by the routes of those tables that are asked
 * before the main one, and of that.
 */
export function knownSubnets({ links, routes, routingRules }: LinksAndRoutes): KnownSubnet[] {
  const asked = askedTables(routingRules);
  // The addresses of a link in a VRF are in tables that other packets do not meet.
  const vrfs = links.filter(({ type }) => type === 'vrf').map(({ name }) => name);
  const outside = links.filter(({ master }) => master === null || !vrfs.includes(master));
  const byAddress = outside.flatMap(({ name, addresses }) =>
    addresses.map(({ ip, prefixLength }) => ({
      subnet: prefixOf(ip, prefixLength),
      link: name,
      by: 'address' as const,
      yields: false,
    })),
  );
  const byRoute = routes.flatMap(({ destination, link, type, table, metric }) => {
    const isAsked = asked.includes(table);
    const subnet = parseDestination(destination);
    if (subnet === null || typesWithoutNetwork.includes(type) || !isAsked) return [];
    return [{ subnet, link, by: 'route' as const, yields: table === 'main' && metric > 0 }];
  });
  return [...byAddress, ...byRoute];
}

/** Returns the link that has an address; null if none has it. */
export function linkOfAddress(links: readonly Link[], address: IpAddress): Link | null {
  return links.find(({ addresses }) => addresses.some(({ ip }) => ip === address)) ?? null;
}

/** Reads a route's destination, which for a single address has no prefix length; null for `default`. */
export function parseDestination(text: string): Prefix | null {
  const single: IpAddress | null = parseIp(text);
  if (single !== null) return prefixOf(single, typeof single === 'number' ? 32 : 128);
  const read = parseAddressWithPrefix(text);
  return read === null ? null : prefixOf(read.address, read.length);
}
