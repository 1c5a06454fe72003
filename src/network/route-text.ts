// The words for rules of routing that keep packets of machines, or to them, from their way. Pure.
import { formatPrefix } from '../address/ip.ts';
import { shellQuoted } from '../text.ts';
import type { OutsideRefusal } from './outside-refusal.ts';
import type { Detour } from './return-path.ts';

/** Describes a detour in one line. The link's name is hostile. */
export function detourText({ bridge, table, priority, link }: Detour): string {
  const way = link === null ? 'are refused' : `leave by ${link}, not by ${bridge}`;
  const reason = table === null ? `the routing rule of priority ${priority}` : `routing table ${table}`;
  return `packets to machines ${way}: ${reason} is asked before the main ${table === null ? 'table' : 'one'}`;
}

/** Returns the command that asks the main table first for the machines' addresses. */
export function detourRemedy({ subnet, priority }: Detour): string {
  return mainTableFirst(formatPrefix(subnet), priority);
}

/** Returns the command that makes the kernel ask the main table about a subnet before a rule of this priority. */
export function mainTableFirst(subnet: string, priority: number): string {
  return `ip rule add to ${subnet} lookup main pref ${Math.max(priority - 1, 1)}`;
}

/** Describes a refusal in one line. */
export function outsideRefusalText({ table, priority }: OutsideRefusal): string {
  const by = table === null ? '' : `, by a route of table ${table}`;
  return `what machines send to the outside is refused by the routing rule of priority ${priority}${by}; this host itself has a way there`;
}

/** Returns the command that shows the rule, and the routes of its table. The rule may be there on purpose. */
export function commandThatShowsRefusal({ table, priority }: OutsideRefusal): string {
  const rule = `ip rule show pref ${priority}`;
  return table === null ? rule : `${rule}; ip route show table ${shellQuoted(table)}`;
}
