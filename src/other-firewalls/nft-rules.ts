// Reads rules from the output of `nft --json list ruleset`, as far as they can be judged for a packet.
import { parseIpv4 } from '../address/ip.ts';
import {
  all,
  any,
  type FilterChains,
  type FilterRule,
  hasFlags,
  isBetween,
  isIn,
  isMac,
  isNamed,
  type Judgement,
  not,
  type Packet,
  type Truth,
  type Verdict,
} from './packet.ts';
import { everyQueue, type HeardQueues, verdictOfQueue } from './queues.ts';

/** An object of unknown form, written by others. */
type Json = Readonly<Record<string, unknown>>;

/** A table of nftables. */
export interface NftTable {
  readonly family: string;
  readonly table: string;
  readonly chains: FilterChains;
  readonly baseChains: readonly NftBaseChain[];
}

/** A chain with a hook. */
export interface NftBaseChain {
  readonly name: string;
  /** `filter`, `nat` or `route`. */
  readonly type: string;
  readonly hook: string;
  readonly priority: number;
  /** Null for a chain without a policy: it accepts. */
  readonly policy: string | null;
}

/** Reads all tables. Returns none if the text is not a list. */
export function parseNftTables(text: string, heard: HeardQueues = everyQueue): NftTable[] {
  const entries = entriesOf(text);
  const of = (kind: string) => entries.map(entry => objectOrNull(entry[kind])).filter(each => each !== null);
  const isOf =
    ({ family, name: table }: Json) =>
    (each: Json) =>
      each.family === family && each.table === table;
  return of('table').map(table => {
    const sets = new Map(
      [...of('set'), ...of('map')].filter(isOf(table)).map(each => [String(each.name), listOf(each.elem)]),
    );
    const chains = new Map<string, FilterRule[]>();
    for (const { chain, handle, expr } of of('rule').filter(isOf(table))) {
      const rules = chains.get(String(chain)) ?? [];
      chains.set(String(chain), rules);
      rules.push({ id: String(handle), judge: packet => judge(listOf(expr), packet, sets, heard) });
    }
    const bases = of('chain').filter(each => isOf(table)(each) && typeof each.hook === 'string');
    return {
      family: String(table.family),
      table: String(table.name),
      chains,
      baseChains: bases.map(({ name, type, hook, prio, policy }) => ({
        name: String(name),
        type: String(type),
        hook: String(hook),
        priority: Number(prio),
        policy: typeof policy === 'string' ? policy : null,
      })),
    };
  });
}

function entriesOf(text: string): Json[] {
  try {
    const listed: unknown = JSON.parse(text);
    return listOf(objectOrNull(listed)?.nftables)
      .map(objectOrNull)
      .filter(each => each !== null);
  } catch {
    return [];
  }
}

type Sets = ReadonlyMap<string, readonly unknown[]>;

/**
 * Statements that neither decide about a packet nor depend on it, unless they have statements of their own:
 * `add @seen { ip saddr limit rate over 9/second }`.
 */
const harmless = ['counter', 'log', 'mangle', 'flow', 'set', 'snat', 'masquerade'];

function judge(expr: readonly unknown[], packet: Packet, sets: Sets, heard: HeardQueues): Judgement[] {
  const truths: Truth[] = [];
  for (const statement of expr) {
    const [[kind, value] = ['', null]] = Object.entries(objectOrNull(statement) ?? {});
    const verdict = kind === 'queue' ? verdictOfQueues(value, heard) : verdictOf(kind, value);
    // A map may lack the packet's key: then the rule does not apply.
    if (verdict?.kind === 'translate' && hasMap(value)) truths.push(null);
    if (verdict !== null) return [{ applies: all(truths), verdict }];
    if (kind === 'vmap') return judgeMap(objectOrNull(value) ?? {}, truths, packet, sets);
    if (kind === 'match') truths.push(judgeMatch(objectOrNull(value) ?? {}, packet, sets));
    else if (!harmless.includes(kind) || objectOrNull(value)?.stmt !== undefined) truths.push(null);
  }
  return [];
}

/** Returns whether the new address or port of a translation is from a map. */
function hasMap(translation: unknown): boolean {
  const { addr, port } = objectOrNull(translation) ?? {};
  return [addr, port].some(value => objectOrNull(value)?.map !== undefined);
}

function verdictOf(kind: string, value: unknown): Verdict | null {
  switch (kind) {
    case 'accept':
    case 'return':
    case 'drop':
      return { kind };
    case 'notrack':
      return { kind: 'untrack' };
    case 'reject':
      // nft leaves out that such a rule is for IPv6 alone.
      return { kind: objectOrNull(value)?.type === 'icmpv6' ? 'none' : 'drop' };
    case 'jump':
    case 'goto':
      return { kind, chain: String(objectOrNull(value)?.target) };
    case 'dnat':
    case 'redirect':
      return { kind: objectOrNull(value)?.family === 'ip6' ? 'none' : 'translate' };
  }
  return null;
}

/** Reads `{ "num": 7, "flags": "bypass" }`, `{ "num": { "range": [7, 9] } }`, or null for queue 0. */
function verdictOfQueues(value: unknown, heard: HeardQueues): Verdict {
  const { num = 0, flags } = objectOrNull(value) ?? {};
  const [first = num, last = first] = listOf(objectOrNull(num)?.range);
  // The packet itself may tell the queue.
  if (typeof first !== 'number' || typeof last !== 'number') return { kind: 'accept' };
  return verdictOfQueue(first, last, namesOf(flags).includes('bypass'), heard);
}

/** Judges `ct state vmap { established : accept, invalid : drop }`. */
function judgeMap({ key, data }: Json, truths: readonly Truth[], packet: Packet, sets: Sets): Judgement[] {
  const field = objectOrNull(key) ?? {};
  if (!isOfProtocol(field, packet)) return [];
  return elementsOf(data, sets).flatMap(element => {
    const [wanted, result] = listOf(element);
    const [[kind, value] = ['', null]] = Object.entries(objectOrNull(result) ?? {});
    const verdict = verdictOf(kind, value);
    const applies = all([...truths, contains(field, wanted, packet, sets)]);
    return verdict === null ? [] : [{ applies, verdict }];
  });
}

function judgeMatch({ op, left, right }: Json, packet: Packet, sets: Sets): Truth {
  const field = objectOrNull(left) ?? {};
  if (!isOfProtocol(field, packet)) return false;
  switch (op) {
    case '==':
    case 'in':
      return contains(field, right, packet, sets);
    case '!=':
      return not(contains(field, right, packet, sets));
    case '<':
      return not(isAtLeast(field, right, packet));
    case '>=':
      return isAtLeast(field, right, packet);
    case '>':
      return not(isAtMost(field, right, packet));
    case '<=':
      return isAtMost(field, right, packet);
  }
  return null;
}

function isAtLeast(field: Json, limit: unknown, packet: Packet): Truth {
  return equals(field, { range: [limit, Number.MAX_VALUE] }, packet);
}

function isAtMost(field: Json, limit: unknown, packet: Packet): Truth {
  return equals(field, { range: [0, limit] }, packet);
}

const transports = ['tcp', 'udp', 'icmp', 'icmpv6', 'ip6', 'sctp'];

/** nft leaves out the condition that follows from a field: `tcp dport` means TCP, `exthdr` and `ip6 saddr` IPv6. */
function isOfProtocol(field: Json, packet: Packet): boolean {
  const parts = [field, ...listOf(field.concat), ...listOf(field['&'])].map(part => objectOrNull(part) ?? {});
  return parts.every(({ payload, exthdr, ct }) => {
    const protocol = String(objectOrNull(payload)?.protocol);
    const isOfIpv6 = exthdr !== undefined || String(objectOrNull(ct)?.key).startsWith('ip6 ');
    return !isOfIpv6 && (protocol === packet.protocol || !transports.includes(protocol));
  });
}

/** Returns whether a field of the packet has a value, or one of several. */
function contains(field: Json, wanted: unknown, packet: Packet, sets: Sets): Truth {
  const elements = elementsOf(wanted, sets);
  return any(elements.map(element => equals(field, unwrapped(element), packet)));
}

/** Returns the values that the right side of a condition names; one of unknown form for a set that is not known. */
function elementsOf(right: unknown, sets: Sets): readonly unknown[] {
  if (typeof right === 'string' && right.startsWith('@')) return sets.get(right.slice(1)) ?? [null];
  if (Array.isArray(right)) return right;
  const set = objectOrNull(right)?.set;
  return Array.isArray(set) ? set : [right];
}

/** Removes what nft puts around an element with a time limit or a counter. */
function unwrapped(element: unknown): unknown {
  const inner = objectOrNull(objectOrNull(element)?.elem)?.val;
  return inner === undefined ? element : inner;
}

function equals(field: Json, wanted: unknown, packet: Packet): Truth {
  const parts = listOf(field.concat);
  if (parts.length > 0) {
    const values = listOf(objectOrNull(wanted)?.concat);
    return all(parts.map((part, index) => equals(objectOrNull(part) ?? {}, values[index], packet)));
  }
  const [masked, mask] = listOf(field['&']);
  if (objectOrNull(objectOrNull(masked)?.payload)?.field === 'flags')
    return hasFlags(packet, namesOf(mask), namesOf(wanted));
  const [[kind, value] = ['', null]] = Object.entries(field);
  const { key, field: name, dir, protocol } = objectOrNull(value) ?? {};
  switch (`${kind} ${String(key ?? name)}`) {
    case 'meta iifname':
    case 'meta iif':
      return isNamed(packet.in, String(wanted), '*');
    case 'meta oifname':
    case 'meta oif':
      return isNamed(packet.out, String(wanted), '*');
    case 'meta l4proto':
    case 'payload protocol':
      return wanted === packet.protocol || wanted === { icmp: 1, tcp: 6, udp: 17 }[packet.protocol];
    case 'meta nfproto':
    case 'ct l3proto':
      return wanted === 'ipv4';
    case 'meta protocol':
      return wanted === 'ip';
    case 'payload saddr':
      return protocol === 'ether' ? isMac(packet.mac, String(wanted)) : isAddress(packet.source, wanted);
    case 'payload daddr':
      return isAddress(packet.destination, wanted);
    case 'payload sport':
      return isPort(packet.sourcePort, wanted);
    case 'payload dport':
      return isPort(packet.destinationPort, wanted);
    case 'payload type':
      // Links without Ethernet never match.
      return protocol === 'ether' && wanted === 'ip6' ? false : null;
    case 'payload flags':
      return hasFlags(packet, namesOf(wanted), namesOf(wanted));
    case 'ct state':
      return wanted === packet.state;
    case 'ct status':
      return wanted === 'dnat' ? packet.isTranslated : null;
    case 'ct direction':
      return wanted === packet.direction;
    case 'ct proto-dst':
      return dir === 'original' ? isPort(packet.originalPort, wanted) : null;
  }
  return null;
}

function isAddress(address: Packet['source'], wanted: unknown): Truth {
  if (typeof wanted === 'string') return isIn(address, wanted);
  const { prefix, range } = objectOrNull(wanted) ?? {};
  const { addr, len } = objectOrNull(prefix) ?? {};
  if (typeof addr === 'string') return isIn(address, `${addr}/${String(len)}`);
  const [first, last] = listOf(range).map(each => parseIpv4(String(each)));
  return first == null || last == null ? null : isBetween(address, first, last);
}

function isPort(port: number | null, wanted: unknown): Truth {
  const [first = wanted, last = wanted] = listOf(objectOrNull(wanted)?.range);
  return typeof first === 'number' && typeof last === 'number' ? isBetween(port, first, last) : null;
}

/** Reads a name, or a list of names. */
function namesOf(value: unknown): string[] {
  return (Array.isArray(value) ? value : [value]).map(String);
}

function objectOrNull(value: unknown): Json | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : null;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
