// Asks the kernel for the route of a packet, by all its rules and tables.
import { formatIp, type IpAddress } from '../../address/ip.ts';
import { isAnswer } from '../../answers.ts';
import type { System } from '../../system/system.ts';

/**
 * An address outside that is never used (TEST-NET-1, RFC 5737): routes to it and from it are asked for, and nothing is
 * sent there.
 */
export const anywhere = '192.0.2.1';

/** The route of a packet: nulls where the kernel refuses it. */
export interface PacketRoute {
  /** Hostile. */
  readonly link: string | null;
  /** `main` also for table `local` of a host without routing rules of its own: the kernel keeps both together. */
  readonly table: string | null;
  /** The type of the route: `unicast`, or `local` for a packet that this host keeps. */
  readonly type: string | null;
}

/** Returns the route of a packet to an address. `query`: further arguments of `ip route get`. */
export async function routeTo(
  run: System['run'],
  address: IpAddress,
  query: readonly string[],
): Promise<PacketRoute> {
  try {
    const routes = JSON.parse(await run('ip', ['-json', 'route', 'get', formatIp(address), ...query]));
    const [{ dev, table = 'main', type = 'unicast' }] = routes as [
      { dev: string; table?: string; type?: string },
    ];
    return { link: dev, table, type };
  } catch (error) {
    if (isAnswer(error)) return { link: null, table: null, type: null };
    throw error;
  }
}
