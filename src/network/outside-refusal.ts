// The way of machines to the outside: a rule of routing that is asked before the main table may refuse them alone,
// while the host itself has a way.
//   ip rule add iif k8s-br0 prohibit
//   ip rule add from 192.168.100.0/24 lookup 100     with `blackhole default` in table 100
import { type Ipv4, parseIpv4, prefixContains } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import type { System } from '../system/system.ts';
import type { LinksAndRoutes } from './links.ts';
import { isRefusing } from './return-path.ts';
import { isAboutMark, type RoutingRule } from './routing-rules.ts';
import { internetAddress, readOwnUplink, readUplink } from './uplink.ts';

/** A rule because of which what machines send to the outside is refused. */
export interface OutsideRefusal {
  readonly bridge: string;
  /** The routing table with a route that refuses packets, by its number or name; null where the rule itself does. */
  readonly table: string | null;
  readonly priority: number;
}

/**
 * Returns the rule by which the kernel refuses packets of machines to the outside. Null where they have a way, where
 * the host has none either, and where no rule explains it. The kernel is asked only if a rule may do so.
 */
export async function findOutsideRefusal(
  system: Pick<System, 'run'>,
  { bridge, range, mode }: Pick<NetworkConfig, 'bridge' | 'range' | 'mode'>,
  { routes, routingRules }: LinksAndRoutes,
): Promise<OutsideRefusal | null> {
  const outside = parseIpv4(internetAddress);
  if (mode === 'isolated' || outside === null) return null;
  const rule = routingRules.find(
    each => isAbout(each, bridge, range.last, outside) && isRefusing(each, routes, outside),
  );
  if (rule === undefined) return null;
  const [machines, host] = await Promise.all([readUplink(system, bridge, range.last), readOwnUplink(system)]);
  if (machines.kind === 'via' || host.kind === 'unreachable') return null;
  return { bridge, table: rule.refuses ? null : rule.table, priority: rule.priority };
}

/** Returns whether a rule that is asked before the main table is about packets without a mark that a machine sends. */
function isAbout(rule: RoutingRule, bridge: string, machine: Ipv4, outside: Ipv4): boolean {
  const { isEarly, incoming, from, to, mark } = rule;
  return (
    isEarly &&
    (incoming === null || incoming === bridge) &&
    (from === null || prefixContains(from, machine)) &&
    (to === null || prefixContains(to, outside)) &&
    (mark === null || isAboutMark(rule, 0))
  );
}
