// The uplink: the link and the next hop by which packets of machines leave for the outside.
import { formatIp, type IpAddress } from '../../address/ip.ts';
import { isAnswer } from '../../answers.ts';
import type { System } from '../../system/system.ts';
import { ipErrorReason } from './ip-error.ts';
import { anywhere } from './route-to.ts';

export type Uplink =
  | { readonly kind: 'via'; readonly dev: string; readonly gateway: string | null }
  /** The kernel refuses the packet, or knows no route for it. */
  | { readonly kind: 'unreachable'; readonly reason: string };

/** An address of the internet: nothing is sent there. Some hosts refuse reserved ones (a bogon filter). */
export const internetAddress = '9.9.9.9';

/**
 * Asks the kernel how it would forward a machine's packet to the outside, by all its rules and tables. `kind`: further
 * arguments of `ip route get`.
 */
export function readUplink(
  system: Pick<System, 'run'>,
  bridge: string,
  machine: IpAddress,
  mark = 0,
  kind: readonly string[] = [],
): Promise<Uplink> {
  return askForRoute(system, ['from', formatIp(machine), 'iif', bridge, 'mark', String(mark), ...kind]);
}

/** Asks the kernel how it would send a packet of the host's own to the outside. */
export function readOwnUplink(system: Pick<System, 'run'>): Promise<Uplink> {
  return askForRoute(system, []);
}

async function askForRoute(system: Pick<System, 'run'>, packet: readonly string[]): Promise<Uplink> {
  const uplink = await askForRouteTo(anywhere, system, packet);
  return uplink.kind === 'via' ? uplink : askForRouteTo(internetAddress, system, packet);
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
    if (!isAnswer(error)) throw error;
    return { kind: 'unreachable', reason: ipErrorReason(error.stderr) ?? error.message };
  }
}
