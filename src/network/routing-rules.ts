// The rules that choose routing tables, from the output of `ip -json rule show`. Pure.
//   [{"priority":100,"src":"all","dst":"192.168.100.0","dstlen":24,"action":"blackhole"},
//    {"priority":101,"src":"all","ipproto":"udp","sport_start":53,"sport_end":67,"action":"prohibit"},
//    {"priority":5270,"src":"all","table":"52"},{"priority":32766,"src":"all","table":"main"}]
import { type Prefix, parseIpv4, prefixOf } from '../address/ip.ts';

/** A rule that chooses a routing table, or refuses packets. */
export interface RoutingRule {
  readonly priority: number;
  /** Null for a rule without one: it refuses packets, or leads to another rule. */
  readonly table: string | null;
  /** True if it refuses packets. */
  readonly refuses: boolean;
  /** The receivers that it is about; null for all, and for all but some. */
  readonly to: Prefix | null;
  /** The senders that it is about; null for all, and for all but some. */
  readonly from: Prefix | null;
  /** True if it is about some senders only. */
  readonly hasSource: boolean;
  /**
   * The link by which packets come in that it is about; null for all, for all but one, and for the host's own. Hostile.
   */
  readonly incoming: string | null;
  /** The marks of packets that it is about; null for all. */
  readonly mark: MarkMatch | null;
  readonly selection: Selection;
  /** True if it is asked before the rules that every host has, and decides. */
  readonly isEarly: boolean;
}

/** The marks that a rule selects: those whose bits of the mask have this value. */
export interface MarkMatch {
  readonly value: number;
  readonly mask: number;
}

/** The packets that a rule is about besides those with addresses, links and marks; null for all. */
export interface Selection {
  /** `udp`, or a number without a name. */
  readonly protocol: string | null;
  readonly sourcePorts: NumberRange | null;
  readonly destinationPorts: NumberRange | null;
  /** The users whose programs send them. */
  readonly users: NumberRange | null;
  /** True if it is about a class of service (TOS). */
  readonly hasClass: boolean;
}

interface NumberRange {
  readonly first: number;
  readonly last: number;
}

/** A packet, as far as rules select it. */
export interface SelectedPacket {
  /** The link that it comes in by; null for one of the host's own. */
  readonly incoming: string | null;
  readonly protocol: string | null;
  readonly sourcePort: number | null;
  readonly destinationPort: number | null;
}

/** A rule as ip lists it. */
export interface IpRule {
  priority: number;
  table?: string;
  action?: string;
  src?: string;
  srclen?: number;
  dst?: string;
  dstlen?: number;
  iif?: string;
  /** Hexadecimal, as the mask. */
  fwmark?: string;
  fwmask?: string;
  ipproto?: string;
  /** A port alone; two are `sport_start` and `sport_end`. */
  sport?: number;
  sport_start?: number;
  sport_end?: number;
  dport?: number;
  dport_start?: number;
  dport_end?: number;
  uid_start?: number;
  uid_end?: number;
  tos?: string;
  /** Present, and null, in a rule about all packets but those that it describes. */
  not?: null;
}

/** The types of routes and the actions of rules that refuse packets (rtnl_rtntype_n2a in iproute2's lib/rt_names.c). */
export const refusingTypes: readonly string[] = ['blackhole', 'prohibit', 'unreachable'];

/** The priority of the main table's rule on every host (FIB_RULE of net/ipv4/fib_rules.c). */
const mainPriority = 32_766;

/** Reads a rule as ip lists it. */
export function readRule({ priority, action = '', src, ...rule }: IpRule): RoutingRule {
  const table = rule.table ?? null;
  const refuses = refusingTypes.includes(action);
  const isNegated = rule.not !== undefined;
  return {
    priority,
    table,
    refuses,
    to: isNegated ? null : readPrefix(rule.dst, rule.dstlen),
    from: isNegated ? null : readPrefix(src, rule.srclen),
    hasSource: src !== undefined && src !== 'all',
    // The host's own packets come in by `lo`.
    incoming: isNegated || rule.iif === 'lo' ? null : (rule.iif ?? null),
    mark: readMark(rule),
    selection: isNegated ? readSelection({}) : readSelection(rule),
    isEarly:
      priority < mainPriority && (refuses || (table !== null && table !== 'local' && table !== 'main')),
  };
}

/** Reads a prefix; without a length it is one address, and `all` is null. */
function readPrefix(address = 'all', length = 32): Prefix | null {
  const network = parseIpv4(address);
  return network === null ? null : prefixOf(network, length);
}

function readSelection({ ipproto, sport, dport, tos, ...rule }: Partial<IpRule>): Selection {
  return {
    protocol: ipproto ?? null,
    sourcePorts: readRange(rule.sport_start ?? sport, rule.sport_end ?? sport),
    destinationPorts: readRange(rule.dport_start ?? dport, rule.dport_end ?? dport),
    users: readRange(rule.uid_start, rule.uid_end),
    hasClass: tos !== undefined,
  };
}

function readRange(first?: number, last?: number): NumberRange | null {
  return first === undefined || last === undefined ? null : { first, last };
}

function readMark({
  fwmark,
  fwmask = '0xffffffff',
  not,
}: Pick<IpRule, 'fwmark' | 'fwmask' | 'not'>): MarkMatch | null {
  // Without the mark that it excepts, such a rule is about every packet.
  if (fwmark === undefined || not !== undefined) return null;
  return { value: Number(fwmark), mask: Number(fwmask) };
}

/** Returns whether a rule selects packets by this mark. */
export function isAboutMark({ mark }: RoutingRule, packetMark: number): boolean {
  return mark !== null && (packetMark & mark.mask) >>> 0 === mark.value;
}

/** Returns whether a rule selects packets by their protocol or ports. */
export function selectsService({ selection }: RoutingRule): boolean {
  const { protocol, sourcePorts, destinationPorts } = selection;
  return protocol !== null || sourcePorts !== null || destinationPorts !== null;
}

/**
 * Returns whether a rule selects a packet without a mark and a class of service, of those with its addresses. The
 * host's own are those of root, as whom dnsmasq opens its sockets.
 */
export function isAboutPacket(rule: RoutingRule, packet: SelectedPacket): boolean {
  const { incoming, mark, selection } = rule;
  const { protocol, sourcePorts, destinationPorts, users, hasClass } = selection;
  return (
    (mark === null || isAboutMark(rule, 0)) &&
    (incoming === null || incoming === packet.incoming) &&
    (protocol === null || protocol === packet.protocol) &&
    contains(sourcePorts, packet.sourcePort) &&
    contains(destinationPorts, packet.destinationPort) &&
    contains(users, packet.incoming === null ? 0 : null) &&
    !hasClass
  );
}

function contains(range: NumberRange | null, value: number | null): boolean {
  return range === null || (value !== null && range.first <= value && value <= range.last);
}

/** Returns the routing tables that the kernel asks for any packet. */
export function askedTables(rules: readonly RoutingRule[]): string[] {
  return ['main', ...rules.flatMap(({ isEarly, table }) => (isEarly && table !== null ? [table] : []))];
}
