// The uplink: the link and the next hop by which packets of machines leave for the outside.
import { formatIp, type IpAddress } from '../address/ip.ts';
import { CommandError } from '../errors.ts';
import type { System } from '../system/system.ts';
import { ipErrorReason } from './ip-error.ts';

export type Uplink =
  | { readonly kind: 'via'; readonly dev: string; readonly gateway: string | null }
  /** This host itself cannot reach the outside. */
  | { readonly kind: 'unreachable'; readonly reason: string };

/**
 * Addresses of the outside: the kernel is asked for the routes to them, and nothing is sent there. The first one is in
 * TEST-NET-1 (RFC 5737), reserved for documentation, which routers may refuse as nobody's (a bogon filter).
 */
const outside = ['192.0.2.1', '9.9.9.9'] as const;

/** Asks the kernel how it would forward a machine's packet to the outside, by all its rules and tables. */
export function readUplink(
  system: Pick<System, 'run'>,
  bridge: string,
  machine: IpAddress,
  mark = 0,
): Promise<Uplink> {
  return askForRoute(system, ['from', formatIp(machine), 'iif', bridge, 'mark', String(mark)]);
}

/** Asks the kernel how it would send a packet of the host's own to the outside. */
export function readOwnUplink(system: Pick<System, 'run'>): Promise<Uplink> {
  return askForRoute(system, []);
}

async function askForRoute(system: Pick<System, 'run'>, packet: readonly string[]): Promise<Uplink> {
  const [first, second] = outside;
  const uplink = await askForRouteTo(first, system, packet);
  return uplink.kind === 'via' ? uplink : askForRouteTo(second, system, packet);
}

async function askForRouteTo(
  address: string,
  system: Pick<System, 'run'>,
  packet: readonly string[],
): Promise<Uplink> {
  const query = ['-json', 'route', 'get', address, ...packet];
  try {
    const [route] = JSON.parse(await system.run('ip', query)) as { dev: string; gateway?: string }[];
    if (route === undefined) return { kind: 'unreachable', reason: 'no route' };
    return { kind: 'via', dev: route.dev, gateway: route.gateway ?? null };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { kind: 'unreachable', reason: ipErrorReason(error.stderr) ?? error.message };
  }
}
