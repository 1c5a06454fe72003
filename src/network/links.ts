import { formatIp, type Ipv4, parseAddressWithPrefix, parseIpv4, prefixOf } from '../address/ip.ts';
import { type Mac, parseMac } from '../address/mac.ts';
import { ownLines } from '../firewall/iptables.ts';
import { tableName } from '../firewall/nftables.ts';
import { readFileOrNull } from '../system/files.ts';
import { paths } from '../system/paths.ts';
import { CommandError, run } from '../system/run.ts';
import type { KnownSubnet } from './conflicts.ts';
import type { Backend, LinkAddress } from './state.ts';

/** A link as `ip -j -d address` tells of it. */
export interface Link {
  readonly name: string;
  readonly type: string | null;
  readonly mac: Mac | null;
  readonly mtu: number;
  readonly up: boolean;
  readonly master: string | null;
  readonly stp: boolean;
  /** In hundredths of a second. */
  readonly forwardDelay: number;
  readonly addresses: readonly LinkAddress[];
  /** Whether somebody gave it an IPv6 address, beyond the one the kernel makes up for each link. */
  readonly hasIpv6: boolean;
}

interface IpLink {
  ifname: string;
  address?: string;
  mtu: number;
  flags: string[];
  master?: string;
  linkinfo?: { info_kind?: string; info_data?: { stp_state?: number; forward_delay?: number } };
  addr_info?: { family: string; scope?: string; local?: string; prefixlen?: number; broadcast?: string }[];
}

/** A route as `ip -j route` tells of it. */
export interface IpRoute {
  dst: string;
  dev?: string;
  type?: string;
}

/** The host's links, and the routes of all its routing tables, VPNs' among them. */
export interface LinksAndRoutes {
  readonly links: readonly Link[];
  readonly routes: readonly IpRoute[];
}

/** One process for both. */
export async function readLinksAndRoutes(): Promise<LinksAndRoutes> {
  const asked = 'address show\nroute show table all\n';
  const [links = '[]', routes = '[]'] = (await run('ip', ['-json', '-details', '-batch', '-'], asked)).split(
    '\n',
  );
  return { links: readLinks(JSON.parse(links)), routes: JSON.parse(routes || '[]') };
}

function readLinks(links: readonly IpLink[]): Link[] {
  return links.map(link => ({
    name: link.ifname,
    type: link.linkinfo?.info_kind ?? null,
    mac: parseMac(link.address ?? ''),
    mtu: link.mtu,
    up: link.flags.includes('UP'),
    master: link.master ?? null,
    stp: link.linkinfo?.info_data?.stp_state === 1,
    forwardDelay: link.linkinfo?.info_data?.forward_delay ?? 0,
    addresses: (link.addr_info ?? []).flatMap(readAddress),
    hasIpv6: (link.addr_info ?? []).some(({ family, scope }) => family === 'inet6' && scope === 'global'),
  }));
}

function readAddress({
  family,
  local = '',
  prefixlen = 32,
  broadcast = '',
}: NonNullable<IpLink['addr_info']>[number]) {
  const ip = parseIpv4(local);
  return family !== 'inet' || ip === null ? [] : [{ ip, prefix: prefixlen, broadcast: parseIpv4(broadcast) }];
}

/** The IPv4 networks this host knows: by its routes, and by its links' addresses. */
export function knownSubnets({ links, routes }: LinksAndRoutes): KnownSubnet[] {
  const byAddress = links.flatMap(({ name, addresses }) =>
    addresses.map(({ ip, prefix }) => ({ subnet: prefixOf(ip, prefix), link: name, by: 'address' as const })),
  );
  const byRoute = routes.flatMap(({ dst, dev, type = 'unicast' }) => {
    const written = parseAddressWithPrefix(dst.includes('/') ? dst : `${dst}/32`);
    if (written === null || ['local', 'broadcast', 'multicast', 'anycast'].includes(type)) return [];
    return [{ subnet: prefixOf(written.address, written.length), link: dev ?? null, by: 'route' as const }];
  });
  return [...byAddress, ...byRoute];
}

/** Where packets of a machine go when they are for the outside: the link, and the next hop where there is one. */
export type Uplink = { readonly dev: string; readonly gateway: string | null } | { readonly error: string };

/** In TEST-NET-1 (RFC 5737), which is nobody's: where it would go goes what is for the outside. Nothing is sent there. */
const anywhere = '192.0.2.1';

/** How the kernel would forward what a machine sends to the outside: by all its rules and tables. */
export async function readUplink(bridge: string, machine: Ipv4): Promise<Uplink> {
  const asked = ['-json', 'route', 'get', anywhere, 'from', formatIp(machine), 'iif', bridge];
  try {
    const [route] = JSON.parse(await run('ip', asked));
    return { dev: String(route.dev), gateway: route.gateway ?? null };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { error: error.message.replace(/^.*(?:answers|Error): /, '') };
  }
}

/** The identity that systemd gives a host; empty where it has none. */
export function machineId(): string {
  return readFileOrNull(paths.machineId)?.trim() ?? '';
}

/** A sysctl's value; null when this kernel, or this link, has none of that name. */
export function readSysctl(key: string): string | null {
  return readFileOrNull(sysctlPath(key))?.trim() ?? null;
}

/** As sysctl(8) writes it: in a key, "/" stands for a dot within a link's name. */
export function sysctlPath(key: string): string {
  return `/proc/sys/${key.replace(/[./]/g, char => (char === '.' ? '/' : '.'))}`;
}

/** How long a look at rules of the kernel may take, in seconds: a hook waits for it. */
export const rulesPatience = 2;

/** Gives what `iptables-save` prints; nothing where it fails. Throws CommandError when it does not end in time. */
export type SavedRules = () => Promise<string>;

/** One `iptables-save` for all who ask, run when the first does. */
export function saveRulesOnce(): SavedRules {
  let saved: Promise<string> | null = null;
  return () => {
    saved ??= list('iptables-save', []);
    return saved;
  };
}

/** What a backend lists of virlan's own rules for a bridge, without counters; no line when there is none. Throws CommandError when it does not answer in time. */
export async function listRules(
  backend: Backend,
  bridge: string,
  save: SavedRules = saveRulesOnce(),
): Promise<string[]> {
  if (backend === 'iptables') return ownLines(bridge, await save());
  const listing = await list('nft', ['--stateless', '--numeric', 'list', 'table', 'ip', tableName(bridge)]);
  return listing.split('\n').filter(line => line.trim() !== '');
}

/** What fails has nothing to list; what hangs must not be taken for that, or rules that are there would be loaded anew. */
async function list(program: string, args: readonly string[]): Promise<string> {
  try {
    return await run(program, args, '', rulesPatience);
  } catch (error) {
    if (error instanceof CommandError && error.reason !== 'timeout') return '';
    throw error;
  }
}
