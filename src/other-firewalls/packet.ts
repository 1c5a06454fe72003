// A packet as the rules of other programs see it, and whether the conditions of a rule match it.
import { type Ipv4, parseIpv4, prefixContains, prefixOf } from '../address/ip.ts';
import { type Mac, parseMac } from '../address/mac.ts';
import type { Chain } from './model.ts';

/** Null in a field: not known. */
export interface Packet {
  /** Names of links. */
  readonly in: string | null;
  readonly out: string | null;
  /** The sender's MAC. */
  readonly mac: Mac | null;
  readonly protocol: 'tcp' | 'udp' | 'icmp';
  readonly source: Ipv4 | null;
  readonly destination: Ipv4 | null;
  readonly sourcePort: number | null;
  readonly destinationPort: number | null;
  /** Of TCP: those of the first packet of its kind. */
  readonly flags: readonly ('syn' | 'ack')[];
  readonly state: 'new' | 'established' | 'related';
  readonly direction: 'original' | 'reply';
  /** True if this host receives it. */
  readonly isToHost: boolean | null;
  /** True if the destination of its connection was translated. */
  readonly isTranslated: boolean;
  /** The destination's port as the first packet of the connection had it. */
  readonly originalPort: number | null;
}

/** A packet that begins a connection, of which nothing else is known. */
export const unknownPacket: Packet = {
  in: null,
  out: null,
  mac: null,
  protocol: 'icmp',
  source: null,
  destination: null,
  sourcePort: null,
  destinationPort: null,
  flags: [],
  state: 'new',
  direction: 'original',
  isToHost: null,
  isTranslated: false,
  originalPort: null,
};

/** The value of a condition; null where it cannot be told. */
export type Truth = boolean | null;

/** Returns whether all of these hold. */
export function all(truths: readonly Truth[]): Truth {
  if (truths.includes(false)) return false;
  return truths.includes(null) ? null : true;
}

/** Returns whether one of these holds. */
export function any(truths: readonly Truth[]): Truth {
  if (truths.includes(true)) return true;
  return truths.includes(null) ? null : false;
}

/** Returns the opposite. */
export function not(truth: Truth): Truth {
  return truth === null ? null : !truth;
}

/** Returns whether an address is in `192.168.0.0/16`, or equals `192.168.0.1`; null also where the text is neither. */
export function isIn(address: Ipv4 | null, text: string): Truth {
  const [, written = '', bits = '32'] = /^([\d.]+)(?:\/(\d{1,2}))?$/.exec(text) ?? [];
  const network = parseIpv4(written);
  if (address === null || network === null || Number(bits) > 32) return null;
  return prefixContains(prefixOf(network, Number(bits)), address);
}

/** Returns whether a MAC is this one; null also where the text is none. */
export function isMac(mac: Mac | null, text: string): Truth {
  const wanted = parseMac(text);
  return mac === null || wanted === null ? null : mac === wanted;
}

/** Returns whether a link has a name, which may end with a wildcard: `*` in nftables, `+` in iptables. */
export function isNamed(link: string | null, name: string, wildcard: '*' | '+'): Truth {
  if (link === null) return null;
  return name.endsWith(wildcard) ? link.startsWith(name.slice(0, -1)) : link === name;
}

/** Returns whether a port is in a range, both ends included; null also where those are not numbers. */
export function isBetween(port: number | null, first: number, last: number): Truth {
  if (port === null || Number.isNaN(first) || Number.isNaN(last)) return null;
  return port >= first && port <= last;
}

/** Returns whether of the flags `mask` those of `set` are set, and no others; null where it is not TCP. */
export function hasFlags(
  { protocol, flags }: Packet,
  mask: readonly string[],
  set: readonly string[],
): Truth {
  if (protocol !== 'tcp') return null;
  return mask.every(flag => flags.some(each => each === flag) === set.includes(flag));
}

/** The effect of a rule on a packet that it matches. */
export type Verdict =
  | { readonly kind: 'accept' | 'drop' | 'return' | 'none' }
  /** The destination is translated, and no further chain of type nat sees the packet. */
  | { readonly kind: 'translate' }
  /** Its connection is not tracked, and so not translated; the next rule decides about it. */
  | { readonly kind: 'untrack' }
  | { readonly kind: 'jump' | 'goto'; readonly chain: string };

/** A rule's answer to one packet. */
export interface Judgement {
  readonly applies: Truth;
  readonly verdict: Verdict;
}

export interface FilterRule {
  /** Identifies the rule within its chain: its handle in nftables, its text in iptables. */
  readonly id: string;
  /** A rule of nftables can have a map of verdicts. */
  judge(packet: Packet): readonly Judgement[];
}

/** Chains of one table, by their names. */
export type FilterChains = ReadonlyMap<string, readonly FilterRule[]>;

/** A rule that drops a packet, translates its destination or keeps it from being tracked, or may do so. */
export interface DecidingRule {
  readonly effect: 'drop' | 'translate' | 'untrack';
  /** The chain that the rule is in. */
  readonly chain: string;
  readonly rule: FilterRule;
  /** True if that happens to the packet for certain: by this rule, or by one before it. */
  readonly isCertain: boolean;
}

/** The end of a packet's way through a chain that no uncertain rule drops it in; `unclear`: accepted, or out again. */
type End = 'dropped' | 'accepted' | 'out' | 'unclear';

interface Passage<Ends> {
  readonly rules: readonly DecidingRule[];
  readonly end: Ends;
}

/** Deepest jumps that nftables and iptables allow. */
const maxDepth = 16;

/** Returns the rules that may drop a packet in a chain, in its order. The policy is not looked at. */
export function findDroppingRules(
  chains: FilterChains,
  chain: string,
  packet: Packet,
): readonly DecidingRule[] {
  return walk(chains, chain, packet, 0).rules.filter(isDrop);
}

function isDrop({ effect }: DecidingRule): boolean {
  return effect === 'drop';
}

/** Returns the first rule that has an effect on a packet for certain; null for none. */
export function findEffect(
  chains: FilterChains,
  chain: string,
  packet: Packet,
  wanted: DecidingRule['effect'],
): DecidingRule | null {
  const { rules } = walk(chains, chain, packet, 0);
  return rules.find(({ effect, isCertain }) => effect === wanted && isCertain) ?? null;
}

/**
 * Returns how a packet is dropped for certain in a chain with a hook: by a rule, and the chain that it is in, or by
 * the policy, where `rule` is null. Returns null if it passes, or that cannot be told.
 */
export function findCertainDrop(
  chains: FilterChains,
  { name, policy }: Pick<Chain, 'name' | 'policy'>,
  packet: Packet,
): { readonly chain: string; readonly rule: FilterRule | null } | null {
  const { rules, end } = walk(chains, name, packet, 0);
  const certain = rules.find(rule => isDrop(rule) && rule.isCertain);
  if (certain !== undefined) return certain;
  return end === 'out' && policy === 'drop' ? { chain: name, rule: null } : null;
}

/** Returns whether no packet like this one comes to the chain's policy: a rule accepts it for certain. */
export function isAccepted(chains: FilterChains, chain: string, packet: Packet): boolean {
  return walk(chains, chain, packet, 0).end === 'accepted';
}

function walk(chains: FilterChains, chain: string, packet: Packet, depth: number): Passage<End> {
  if (depth > maxDepth) return { rules: [], end: 'unclear' };
  const rules: DecidingRule[] = [];
  // After rules of which it cannot be told whether the packet went past them.
  let [mayBeAccepted, mayBeOut] = [false, false];
  for (const rule of chains.get(chain) ?? [])
    for (const { applies, verdict } of rule.judge(packet)) {
      if (applies === false) continue;
      const { rules: inner, end } = follow(verdict, { chain, rule, isCertain: true }, target =>
        walk(chains, target, packet, depth + 1),
      );
      const isMet = !mayBeAccepted && !mayBeOut && applies === true;
      rules.push(...inner.map(each => ({ ...each, isCertain: each.isCertain && isMet })));
      if (end === 'next') continue;
      const goesOn = applies === null || (verdict.kind === 'jump' && end === 'unclear');
      if (!goesOn) {
        const isCertain = end === 'accepted' ? !mayBeOut : isMet;
        return { rules, end: isCertain ? end : 'unclear' };
      }
      if (end === 'accepted' || end === 'unclear') mayBeAccepted = true;
      // A jump that ends comes back to this chain.
      if (verdict.kind !== 'jump' && (end === 'out' || end === 'unclear')) mayBeOut = true;
    }
  return { rules, end: mayBeAccepted ? 'unclear' : 'out' };
}

/** Returns what a verdict leads to; `next` if the next rule decides. */
function follow(
  verdict: Verdict,
  itself: Omit<DecidingRule, 'effect'>,
  visit: (chain: string) => Passage<End>,
): Passage<End | 'next'> {
  switch (verdict.kind) {
    case 'none':
      return { rules: [], end: 'next' };
    case 'drop':
      return { rules: [{ ...itself, effect: 'drop' }], end: 'dropped' };
    case 'translate':
      return { rules: [{ ...itself, effect: 'translate' }], end: 'accepted' };
    case 'untrack':
      return { rules: [{ ...itself, effect: 'untrack' }], end: 'next' };
    case 'accept':
      return { rules: [], end: 'accepted' };
    case 'return':
      return { rules: [], end: 'out' };
    case 'goto':
      return visit(verdict.chain);
    case 'jump': {
      const { rules, end } = visit(verdict.chain);
      return { rules, end: end === 'out' ? 'next' : end };
    }
  }
}
