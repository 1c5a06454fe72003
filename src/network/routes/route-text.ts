// The words for rules of routing that keep packets of machines, or to them, from their way. Pure.
import { formatPrefix } from '../../address/ip.ts';
import { formatSpan } from '../../config/forward.ts';
import { shellQuoted } from '../../text.ts';
import type { PacketKind } from '../kernel/routing-rules.ts';
import type { OutsideRefusal } from './outside-refusal.ts';
import type { Detour, LocalRoute } from './return-path.ts';
import { partText } from './subnet-parts.ts';

/** Describes a detour in one line. The links' names are hostile. */
export function detourText({ bridge, part, link, by }: Detour): string {
  const packets = `packets to ${partText(part) ?? 'machines'}`;
  if (by.kind === 'local-route') {
    const way =
      link === null ? 'are refused' : by.type === 'local' ? 'stay on this host' : wayBy(link, bridge);
    return `${packets} ${way}: the route ${routeText(by)} of table local is asked before the main table`;
  }
  const { table, priority, only } = by;
  const way = link === null ? 'are refused' : wayBy(link, bridge);
  const reason = table === null ? `the routing rule of priority ${priority}` : `routing table ${table}`;
  return `${packets}${kindText(only)} ${way}: ${reason} is asked before the main ${table === null ? 'table' : 'one'}`;
}

function wayBy(link: string, bridge: string): string {
  return link === bridge ? 'do not leave as those to machines do' : `leave by ${link}, not by ${bridge}`;
}

/** A command; `mends` is false if it only shows what needs a decision. */
interface Remedy {
  readonly command: string;
  readonly mends: boolean;
}

/** Makes the kernel ask the main table first for the machines' addresses, or removes the route before every rule. */
export function detourRemedy({ subnet, part, by }: Detour): Remedy {
  return by.kind === 'local-route'
    ? { command: `ip route delete ${routeText(by)} table local`, mends: true }
    : mainTableFirst(partText(part) ?? formatPrefix(subnet), by.priority);
}

/** Writes a route as ip reads it. */
function routeText({ type, destination, link }: LocalRoute): string {
  return `${type} ${destination}${link === null ? '' : ` dev ${shellQuoted(link)}`}`;
}

/** Makes the kernel ask the main table about a subnet before a rule of this priority. */
export function mainTableFirst(subnet: string, priority: number): Remedy {
  // Of two rules with one priority, the older one is asked first.
  return priority === 0
    ? { command: 'ip rule show pref 0', mends: false }
    : { command: `ip rule add to ${subnet} lookup main pref ${priority - 1}`, mends: true };
}

/** Describes a kind of packets, after what it is a kind of: ` by tcp to port 25`. */
function kindText(kind: PacketKind | null): string {
  if (kind === null) return '';
  const { protocol, sourcePorts, destinationPorts, tos } = kind;
  return [
    ...(protocol === null ? [] : [` by ${protocol}`]),
    ...(sourcePorts === null ? [] : [` from port ${formatSpan(sourcePorts)}`]),
    ...(destinationPorts === null ? [] : [` to port ${formatSpan(destinationPorts)}`]),
    ...(tos === null ? [] : [` with TOS ${tos}`]),
  ].join('');
}

/** Describes a refusal in one line. */
export function outsideRefusalText({ part, table, priority, only }: OutsideRefusal): string {
  const address = partText(part);
  const sent = address === null ? 'what machines send' : `what ${address} sends`;
  const by = table === null ? '' : `, by a route of table ${table}`;
  return `${sent}${kindText(only)} to the outside is refused by the routing rule of priority ${priority}${by}; this host itself has a way there`;
}

/** Returns the command that shows the rule, and the routes of its table. The rule may be there on purpose. */
export function commandThatShowsRefusal({ table, priority }: OutsideRefusal): string {
  const rule = `ip rule show pref ${priority}`;
  return table === null ? rule : `${rule}; ip route show table ${shellQuoted(table)}`;
}
