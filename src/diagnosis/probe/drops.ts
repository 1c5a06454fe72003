// Finds the chain or rule that dropped a packet of the probe, in the events of a trace.
import type { Drop } from '../packet-drop.ts';
import type { ProbeRequest } from './protocol.ts';
import { hasFields, type TraceEvent } from './trace-events.ts';
import type { Losses } from './ways.ts';

/** The drop of each packet of the probe; null or no entry for a packet without a known drop. */
export type Drops = Losses<Drop>;

/** Returns the first of two drops of each packet. */
export function joinDrops(first: Drops, second: Drops): Drops {
  return {
    dhcp: first.dhcp ?? second.dhcp ?? null,
    dns: first.dns ?? second.dns ?? null,
    outgoing: first.outgoing ?? second.outgoing ?? null,
    returning: first.returning ?? second.returning ?? null,
    connecting: first.connecting ?? second.connecting ?? null,
    connected: first.connected ?? second.connected ?? null,
  };
}

/** Returns the drops of a probe's packets. */
export function findDrops(events: readonly TraceEvent[], { gateway, nextHop }: ProbeRequest): Drops {
  return {
    dhcp: findDrop(events, packet => hasFields(packet, 'udp dport 67') || isDhcpAnswer(packet)),
    dns: findDrop(
      events,
      packet =>
        hasFields(packet, `ip daddr ${gateway}`, 'udp dport 53') ||
        hasFields(packet, `ip saddr ${gateway}`, 'udp sport 53'),
    ),
    outgoing: findDrop(events, packet => hasFields(packet, `ip daddr ${nextHop}`)),
    returning: findDrop(events, packet => hasFields(packet, `ip saddr ${nextHop}`)),
  };
}

/**
 * Returns whether a packet is the answer on its way to the machine. Of a broadcast that the host sends, the kernel
 * gives it a copy, which comes in by the bridge: nobody needs that one, and virlan's rules reject it.
 */
function isDhcpAnswer(packet: string): boolean {
  return hasFields(packet, 'udp sport 67') && linksOf(packet).in === null;
}

/**
 * Returns the first drop of a packet for which `isExpected` returns true, or else the rule that queued the last one of
 * these packets for a program; null where there is none.
 */
export function findDrop(
  events: readonly TraceEvent[],
  isExpected: (packet: string) => boolean,
): Drop | null {
  const drop = findRule(events, isExpected, text => {
    if (/^policy drop\b/.test(text)) return { rule: null };
    return readRule(text, verdict => verdict === 'drop');
  });
  return drop ?? findLastQueueing(events, isExpected);
}

/**
 * Returns the rule that queued a packet that came no further, as a chain of the probe's table at the end of each hook
 * would show: the program behind the queue drops it, or there is none.
 */
function findLastQueueing(
  events: readonly TraceEvent[],
  isExpected: (packet: string) => boolean,
): Drop | null {
  const last = events.findLast(({ packet }) => isExpected(packet));
  return last === undefined || last.family === 'bridge'
    ? null
    : findRule([last], isExpected, text => readRule(text, verdict => verdict === 'queue'));
}

/**
 * The rules that keep packets to the next hop, or its answers, from being tracked, or have them tracked in a zone of
 * their own; null where none was seen.
 */
export interface Untracking {
  readonly outgoing: Drop | null;
  readonly returning: Drop | null;
}

/** Rules that end or change the tracking of a packet. nft shows those of iptables as `xt target "CT"`. */
const untracks = /\b(?:notrack|ct zone set|target "?CT"?)\b/;

/**
 * Returns the first rules that keep packets to a next hop, and its answers, from being tracked with each other, and so
 * from being translated. A rule of iptables is shown without its options and may set something else: ask this only
 * about packets that were not translated.
 */
export function findUntracking(events: readonly TraceEvent[], nextHop: string | null): Untracking {
  const find = (field: string) =>
    findRule(
      events,
      packet => hasFields(packet, field),
      text => readRule(text, (verdict, rule) => verdict === 'continue' && untracks.test(rule)),
    );
  return { outgoing: find(`ip daddr ${nextHop}`), returning: find(`ip saddr ${nextHop}`) };
}

/** Rules that lead a packet to another address. nft shows those of iptables as `xt target "DNAT"`. */
const translates = /\b(?:dnat|redirect|tproxy)\b|target "?(?:DNAT|REDIRECT|TPROXY|NETMAP)\b/;

/** Returns the first rule that sends DNS queries to the gateway elsewhere; null where none was seen. */
export function findDnsTranslation(
  events: readonly TraceEvent[],
  { gateway }: Pick<ProbeRequest, 'gateway'>,
): Drop | null {
  return findRule(
    events,
    packet => hasFields(packet, `ip daddr ${gateway}`, 'udp dport 53'),
    text => readRule(text, (_, rule) => translates.test(rule)),
  );
}

/** Reads `rule tcp dport 22 drop (verdict drop)`; null for another text, or a rule that is not meant. */
function readRule(
  text: string,
  isMeant: (verdict: string, rule: string) => boolean,
): Pick<Drop, 'rule'> | null {
  const [, rule, verdict = ''] = /^(?:unknown )?rule (.*) \(verdict ([^)]*)\)/.exec(text) ?? [];
  return rule !== undefined && isMeant(verdict, rule) ? { rule } : null;
}

/** Returns the first event of a packet that `read` reads: a rule, or the policy of a chain. */
function findRule(
  events: readonly TraceEvent[],
  isExpected: (packet: string) => boolean,
  read: (text: string) => Pick<Drop, 'rule'> | null,
): Drop | null {
  for (const { family, table, chain, text, packet } of events) {
    const found = read(text);
    if (found !== null && isExpected(packet))
      return { family, table, chain, rule: withoutCounts(found.rule), links: linksOf(packet) };
  }
  return null;
}

/** The counts of a rule grow with each probe, and the results of two probes would differ by them alone. */
function withoutCounts(rule: string | null): string | null {
  return rule === null ? null : rule.replaceAll(/\bcounter packets \d+ bytes \d+/g, 'counter').trim();
}

/** Reads the links of `packet: iif "k8s-br0" oif "uplink" ip saddr …`. */
function linksOf(packet: string): Drop['links'] {
  const link = (field: 'iif' | 'oif') => new RegExp(`\\b${field} "([^"]*)"`).exec(packet)?.[1] ?? null;
  return { in: link('iif'), out: link('oif') };
}
