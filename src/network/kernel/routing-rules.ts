// The rules that choose routing tables, from the output of `ip -json rule show`. Pure.
//   [{"priority":100,"src":"all","dst":"192.168.100.0","dstlen":24,"action":"blackhole"},
//    {"priority":101,"src":"all","ipproto":"udp","sport_start":53,"sport_end":67,"action":"prohibit"},
//    {"priority":5270,"src":"all","table":"52"},{"priority":32766,"src":"all","table":"main"}]
import { type Prefix, parseIpv4, prefixOf } from '../../address/ip.ts';
import type { PortSpan } from '../../config/forward.ts';

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
  /** The kind of packets that it is about; null for all, and for all but some. */
  readonly only: PacketKind | null;
  /** Whose packets it is about: null for those of all users, and for those of all but some. */
  readonly users: 'root' | 'others' | null;
  /** True if it is asked before the rules that every host has, and decides. */
  readonly isEarly: boolean;
}

/** The marks that a rule selects: those whose bits of the mask have this value. */
export interface MarkMatch {
  readonly value: number;
  readonly mask: number;
}

/** A packet that the kernel is asked about, as far as rules select it besides addresses. */
export interface RoutedPacket {
  /** The link that it comes in by; null for one of the host's own. */
  readonly incoming: string | null;
  /** The kind of a rule that it is of; null for none. */
  readonly only: PacketKind | null;
}

/** A kind of packets, by what their headers say besides addresses; null in a field: any. */
export interface PacketKind {
  readonly protocol: string | null;
  readonly sourcePorts: PortSpan | null;
  readonly destinationPorts: PortSpan | null;
  /** Type of service, hexadecimal. */
  readonly tos: string | null;
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
  /** The first user of a range: root is 0. */
  uid_start?: number;
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
    only: isNegated ? null : readKind(rule),
    users: isNegated || rule.uid_start === undefined ? null : rule.uid_start === 0 ? 'root' : 'others',
    isEarly:
      priority < mainPriority && (refuses || (table !== null && table !== 'local' && table !== 'main')),
  };
}

/** Reads a prefix; without a length it is one address, and `all` is null. */
function readPrefix(address = 'all', length = 32): Prefix | null {
  const network = parseIpv4(address);
  return network === null ? null : prefixOf(network, length);
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

function readKind(rule: Omit<IpRule, 'priority'>): PacketKind | null {
  const { ipproto: protocol = null, tos = null } = rule;
  const sourcePorts = readPorts(rule.sport ?? rule.sport_start, rule.sport_end);
  const destinationPorts = readPorts(rule.dport ?? rule.dport_start, rule.dport_end);
  const kind = { protocol, sourcePorts, destinationPorts, tos };
  return Object.values(kind).every(each => each === null) ? null : kind;
}

function readPorts(first?: number, last = first): PortSpan | null {
  return first === undefined || last === undefined ? null : { first, last };
}

/** Returns the arguments of `ip route get` for a packet of a kind; null where the kernel cannot be asked. */
export function queryOf({ protocol, sourcePorts, destinationPorts, tos }: PacketKind): string[] | null {
  // Without a protocol it takes a packet for UDP.
  if (protocol !== null && !['tcp', 'udp', 'icmp'].includes(protocol)) return null;
  const of = (name: string, value: string | number | undefined) =>
    value === undefined ? [] : [name, String(value)];
  return [
    ...of('ipproto', protocol ?? undefined),
    ...of('sport', sourcePorts?.first),
    ...of('dport', destinationPorts?.first),
    ...of('tos', tos ?? undefined),
  ];
}

/** Returns whether a rule selects packets by this mark. */
export function isAboutMark({ mark }: RoutingRule, packetMark: number): boolean {
  return mark !== null && (packetMark & mark.mask) >>> 0 === mark.value;
}

/**
 * Returns whether a rule selects a packet without a mark, of those with its addresses. The host's own are those of
 * root, as whom dnsmasq opens its sockets.
 */
export function selects(rule: RoutingRule, { incoming, only }: RoutedPacket): boolean {
  return (
    (rule.mark === null || isAboutMark(rule, 0)) &&
    (rule.incoming === null || rule.incoming === incoming) &&
    (rule.only === null || rule.only === only) &&
    (rule.users === null || (incoming === null && rule.users === 'root'))
  );
}

/** Returns the routing tables that the kernel asks for any packet. */
export function askedTables(rules: readonly RoutingRule[]): string[] {
  return ['main', ...rules.flatMap(({ isEarly, table }) => (isEarly && table !== null ? [table] : []))];
}
