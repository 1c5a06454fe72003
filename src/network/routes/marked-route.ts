// Routes of packets with a mark: a routing rule about marks may send them elsewhere than packets without, or refuse
// them.
import type { IpAddress } from '../../address/ip.ts';
import type { System } from '../../system/system.ts';
import { type IpRule, isAboutMark, type RoutingRule, readRule } from '../kernel/routing-rules.ts';
import { type PacketRoute, routeTo } from './route-to.ts';

/** The route of packets with a mark, and the rule that leads there. */
export interface MarkedRoute extends Pick<PacketRoute, 'link' | 'table'> {
  readonly mark: number;
  readonly priority: number;
}

/** A packet with a mark: its receiver, and further arguments of `ip route get`. */
export interface MarkedPacket {
  readonly to: IpAddress;
  readonly query: readonly string[];
  readonly mark: number;
}

/** Returns the route of a packet, if a rule about its mark leads it away from a link; otherwise null. */
export async function findMarkedRoute(
  { run }: Pick<System, 'run'>,
  { to, query, mark }: MarkedPacket,
  expectedLink: string,
): Promise<MarkedRoute | null> {
  const { link, table } = await routeTo(run, to, [...query, 'mark', String(mark)]);
  if (link === expectedLink) return null;
  const listed: IpRule[] = JSON.parse(await run('ip', ['-json', 'rule', 'show']));
  const rule = listed.map(readRule).find(each => isAboutMark(each, mark) && leadsTo(each, { link, table }));
  return rule === undefined ? null : { link, table, mark, priority: rule.priority };
}

function leadsTo({ isEarly, table }: RoutingRule, route: Pick<PacketRoute, 'link' | 'table'>): boolean {
  return isEarly && (route.link === null || table === route.table);
}
