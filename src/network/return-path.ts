// The way of answers to machines: a routing table that is asked before the main one may lead them elsewhere.
import { formatIp, formatPrefix, type IpAddress } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import { CommandError } from '../errors.ts';
import type { System } from '../system/system.ts';
import type { RoutingRule } from './links.ts';

/** A rule because of which packets to machines do not leave by the bridge. */
export interface Detour {
  readonly bridge: string;
  readonly subnet: NetworkConfig['subnet'];
  /** The routing table, by its number or name. */
  readonly table: string;
  readonly priority: number;
  /** The link that the packets leave by; null where they are refused. */
  readonly link: string | null;
}

/**
 * Asks the kernel for the route to a machine, if there are rules that are asked before the main table.
 * Returns null where the bridge, or a route of the main table, is the way.
 */
export async function findDetour(
  { run }: Pick<System, 'run'>,
  { bridge, subnet, range }: Pick<NetworkConfig, 'bridge' | 'subnet' | 'range'>,
  rules: readonly RoutingRule[],
): Promise<Detour | null> {
  const early = rules.filter(({ isEarly }) => isEarly);
  if (early.length === 0) return null;
  const found = await routeTo(run, range.last);
  if (found.link === bridge) return null;
  const rule = early.find(({ table }) => found.table === null || table === found.table);
  return rule === undefined
    ? null
    : { bridge, subnet, table: rule.table, priority: rule.priority, link: found.link };
}

/** Returns link and table of the route to an address; nulls where the kernel refuses packets to it. */
async function routeTo(
  run: System['run'],
  address: IpAddress,
): Promise<{ readonly link: string | null; readonly table: string | null }> {
  try {
    const routes = JSON.parse(await run('ip', ['-json', 'route', 'get', formatIp(address)]));
    const [{ dev, table = 'main' }] = routes as [{ dev: string; table?: string }];
    return { link: dev, table };
  } catch (error) {
    if (error instanceof CommandError && error.reason !== 'timeout') return { link: null, table: null };
    throw error;
  }
}

/** Describes a detour in one line. The link's name is hostile. */
export function detourText({ bridge, table, link }: Detour): string {
  const way = link === null ? 'are refused' : `leave by ${link}, not by ${bridge}`;
  return `packets to machines ${way}: routing table ${table} is asked before the main one`;
}

/** Returns the command that asks the main table first for the machines' addresses. */
export function detourRemedy({ subnet, priority }: Detour): string {
  return `ip rule add to ${formatPrefix(subnet)} lookup main pref ${Math.max(priority - 1, 1)}`;
}
