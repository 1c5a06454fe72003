// Reads links and routes from the output of `ip -json -details`, and derives the networks of the host. Pure.
import {
  type IpAddress,
  type Prefix,
  parseAddressWithPrefix,
  parseIp,
  parseIpv4,
  prefixOf,
} from '../address/ip.ts';
import { type Mac, parseMac } from '../address/mac.ts';
import type { LinkAddress } from './state.ts';

export interface Link {
  readonly name: string;
  readonly type: string | null;
  readonly mac: Mac | null;
  /** In bytes. */
  readonly mtu: number;
  readonly up: boolean;
  readonly master: string | null;
  readonly stp: boolean;
  /** In hundredths of a second. */
  readonly forwardDelay: number;
  readonly addresses: readonly LinkAddress[];
}

export interface Route {
  readonly destination: string;
  /** Null for a route without a link, such as a blackhole. */
  readonly link: string | null;
  readonly type: string;
}

/** The links of the host, and the routes of all its routing tables, those of VPNs included. */
export interface LinksAndRoutes {
  readonly links: readonly Link[];
  readonly routes: readonly Route[];
}

/** A network that the host has already, by an address of one of its links or by a route. */
export interface KnownSubnet {
  readonly subnet: Prefix;
  /** The link it is behind; null for a route without one. */
  readonly link: string | null;
  readonly by: 'address' | 'route';
}

interface IpLink {
  ifname: string;
  address?: string;
  mtu: number;
  flags: string[];
  master?: string;
  linkinfo?: { info_kind?: string; info_data?: { stp_state?: number; forward_delay?: number } };
  addr_info?: { family: string; local?: string; prefixlen?: number; broadcast?: string }[];
}

interface IpRoute {
  dst: string;
  dev?: string;
  type?: string;
}

/**
 * Reads the two lines that `ip -json -details -batch -` prints for `address show` and `route show table all`.
 */
export function parseLinksAndRoutes(output: string): LinksAndRoutes {
  const [links = '', routes = ''] = output.split('\n');
  return {
    links: (JSON.parse(links || '[]') as IpLink[]).map(readLink),
    routes: (JSON.parse(routes || '[]') as IpRoute[]).map(({ dst, dev, type }) => ({
      destination: dst,
      link: dev ?? null,
      type: type ?? 'unicast',
    })),
  };
}

function readLink(link: IpLink): Link {
  const addresses = link.addr_info ?? [];
  return {
    name: link.ifname,
    type: link.linkinfo?.info_kind ?? null,
    mac: parseMac(link.address ?? ''),
    mtu: link.mtu,
    up: link.flags.includes('UP'),
    master: link.master ?? null,
    stp: link.linkinfo?.info_data?.stp_state === 1,
    forwardDelay: link.linkinfo?.info_data?.forward_delay ?? 0,
    addresses: addresses.filter(({ family }) => family === 'inet').flatMap(readAddress),
  };
}

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

/** Returns the networks of the host, by its links' addresses and by its routes. */
export function knownSubnets({ links, routes }: LinksAndRoutes): KnownSubnet[] {
  const byAddress = links.flatMap(({ name, addresses }) =>
    addresses.map(({ ip, prefixLength }) => ({
      subnet: prefixOf(ip, prefixLength),
      link: name,
      by: 'address' as const,
    })),
  );
  const byRoute = routes.flatMap(({ destination, link, type }) => {
    const subnet = parseDestination(destination);
    const isLocal = ['local', 'broadcast', 'multicast', 'anycast'].includes(type);
    return subnet === null || isLocal ? [] : [{ subnet, link, by: 'route' as const }];
  });
  return [...byAddress, ...byRoute];
}

/** Reads a route's destination, which for a single address has no prefix length; null for `default`. */
function parseDestination(text: string): Prefix | null {
  const single: IpAddress | null = parseIp(text);
  if (single !== null) return prefixOf(single, typeof single === 'number' ? 32 : 128);
  const read = parseAddressWithPrefix(text);
  return read === null ? null : prefixOf(read.address, read.length);
}
