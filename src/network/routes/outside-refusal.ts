// The way of machines to the outside: a rule of routing that is asked before the main table may refuse them alone, or
// some of them, while the host itself has a way.
//   ip rule add iif k8s-br0 prohibit
//   ip rule add from 192.168.100.155 prohibit
//   ip rule add iif k8s-br0 ipproto tcp dport 25 prohibit
//   ip rule add from 192.168.100.0/24 lookup 100     with `blackhole default` in table 100
import { type Ipv4, type Prefix, parseIpv4, prefixContains } from '../../address/ip.ts';
import type { NetworkConfig } from '../../config/config.ts';
import type { System } from '../../system/system.ts';
import type { LinksAndRoutes } from '../kernel/links.ts';
import { type PacketKind, queryOf, type RoutingRule, selects } from '../kernel/routing-rules.ts';
import { isRefusing } from './return-path.ts';
import { commonPart, machinesOf } from './subnet-parts.ts';
import { internetAddress, readOwnUplink, readUplink } from './uplink.ts';

/** A rule because of which what machines send to the outside is refused. */
export interface OutsideRefusal {
  readonly bridge: string;
  /** The part of the subnet that alone is concerned; null for all of it. */
  readonly part: Prefix<Ipv4> | null;
  /** The routing table with a route that refuses packets, by its number or name; null where the rule itself does. */
  readonly table: string | null;
  readonly priority: number;
  /** The kind of packets that alone is concerned; null for all. */
  readonly only: PacketKind | null;
}

/** Most machines that the kernel is asked about. */
const maxQuestions = 16;

/**
 * Returns the rules by which the kernel refuses packets of machines to the outside, one for each part of the subnet
 * and each kind of packets. None where they have a way, where the host has none either, and where no rule explains it.
 * The kernel is asked only if a rule may do so.
 */
export async function findOutsideRefusals(
  system: Pick<System, 'run'>,
  network: Pick<NetworkConfig, 'bridge' | 'subnet' | 'gateway' | 'range' | 'mode'>,
  { routes, routingRules }: LinksAndRoutes,
): Promise<OutsideRefusal[]> {
  const { bridge, subnet, mode } = network;
  const outside = parseIpv4(internetAddress);
  if (mode === 'isolated' || outside === null) return [];
  const refusing = routingRules.filter(
    rule => isAbout(rule, bridge, outside) && isRefusing(rule, routes, outside),
  );
  const asked = refusing.flatMap(rule => {
    const common = commonPart(subnet, rule.from);
    const kind = rule.only === null ? [] : queryOf(rule.only);
    if (common === null || kind === null) return [];
    const part = common.length === subnet.length ? null : common;
    return machinesOf(common, network).map(machine => ({ rule, part, machine, kind }));
  });
  const found = new Map<string, OutsideRefusal>();
  for (const { rule, part, machine, kind } of asked.slice(0, maxQuestions)) {
    const { only, priority } = rule;
    const key = JSON.stringify([part, only]);
    if (found.has(key) || (await readUplink(system, bridge, machine, 0, kind)).kind === 'via') continue;
    found.set(key, { bridge, part, table: rule.refuses ? null : rule.table, priority, only });
  }
  // A refusal of all packets covers each kind: it is reported once.
  const isNews = ({ part, only }: OutsideRefusal) =>
    only === null || (!found.has(JSON.stringify([part, null])) && !found.has(JSON.stringify([null, null])));
  if (found.size === 0 || (await readOwnUplink(system)).kind === 'unreachable') return [];
  return [...found.values()].filter(isNews);
}

/** Returns whether a rule that is asked before the main table is about packets without a mark that come by a bridge. */
function isAbout(rule: RoutingRule, bridge: string, outside: Ipv4): boolean {
  const { isEarly, to, only } = rule;
  return isEarly && (to === null || prefixContains(to, outside)) && selects(rule, { incoming: bridge, only });
}
