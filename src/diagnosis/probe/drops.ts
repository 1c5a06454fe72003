// Finds the chain or rule that dropped a packet, by the lines of `nft monitor`:
// `trace id 92e81a45 ip filter FORWARD rule tcp dport 22 drop (verdict drop)`
import type { Drop, Packet } from '../details.ts';
import type { ProbeRequest } from './protocol.ts';

/** The drop of each packet of the probe; null or no entry for a packet without a known drop. */
export type Drops = Readonly<Partial<Record<Packet['kind'], Drop | null>>>;

/** Returns the first of two drops of each packet. */
export function joinDrops(first: Drops, second: Drops): Drops {
  return {
    dhcp: first.dhcp ?? second.dhcp ?? null,
    dns: first.dns ?? second.dns ?? null,
    outgoing: first.outgoing ?? second.outgoing ?? null,
    returning: first.returning ?? second.returning ?? null,
  };
}

/** Returns the drops of a probe's packets. */
export function findDrops(lines: readonly string[], { gateway, nextHop }: ProbeRequest): Drops {
  const has = (packet: string, ...fields: readonly string[]) =>
    fields.every(field => packet.includes(` ${field} `));
  return {
    dhcp: findDrop(lines, packet => has(packet, 'udp dport 67') || has(packet, 'udp sport 67')),
    dns: findDrop(
      lines,
      packet =>
        has(packet, `ip daddr ${gateway}`, 'udp dport 53') ||
        has(packet, `ip saddr ${gateway}`, 'udp sport 53'),
    ),
    outgoing: findDrop(lines, packet => has(packet, `ip daddr ${nextHop}`)),
    returning: findDrop(lines, packet => has(packet, `ip saddr ${nextHop}`)),
  };
}

/** Returns the first drop of a packet for whose line `isExpected` returns true; null where there is none. */
export function findDrop(lines: readonly string[], isExpected: (packet: string) => boolean): Drop | null {
  return findEvent(lines, isExpected, event => {
    if (/^policy drop\b/.test(event)) return { rule: null };
    const [, rule] = /^(?:unknown )?rule (.*) \(verdict drop\)/.exec(event) ?? [];
    return rule === undefined ? null : { rule };
  });
}

/**
 * Returns the first rule that keeps packets to a next hop from being tracked, and so from being masqueraded; null where
 * there is none. nft shows a rule of iptables as `xt target "CT"` without its options, so that it may set something else:
 * ask this only about packets that left without being masqueraded.
 */
export function findUntracking(lines: readonly string[], nextHop: string | null): Drop | null {
  const isExpected = (packet: string) => packet.includes(` ip daddr ${nextHop} `);
  return findEvent(lines, isExpected, event => {
    const [, rule] =
      /^(?:unknown )?rule (.*\b(?:notrack|target "?CT"?)\b.*) \(verdict continue\)/.exec(event) ?? [];
    return rule === undefined ? null : { rule };
  });
}

/** Returns the first event of a packet that `read` reads: a rule, or the policy of a chain. */
function findEvent(
  lines: readonly string[],
  isExpected: (packet: string) => boolean,
  read: (event: string) => Pick<Drop, 'rule'> | null,
): Drop | null {
  /** The lines of packets by trace id: the kernel gives a packet one number per hook. */
  const packets = new Map<string, string>();
  for (const line of lines) {
    const [, id = '', family = '', table = '', chain = '', event = ''] =
      /^trace id (\w+) (\S+) (\S+) (\S+) (.*)$/.exec(line) ?? [];
    if (event.startsWith('packet: ')) packets.set(id, event);
    const found = read(event);
    const packet = packets.get(id) ?? '';
    if (found !== null && isExpected(packet))
      return { family, table, chain, rule: found.rule?.trim() ?? null, links: linksOf(packet) };
  }
  return null;
}

/** Reads the links of `packet: iif "k8s-br0" oif "uplink" ip saddr …`. */
function linksOf(packet: string): Drop['links'] {
  const link = (field: 'iif' | 'oif') => new RegExp(`\\b${field} "([^"]*)"`).exec(packet)?.[1] ?? null;
  return { in: link('iif'), out: link('oif') };
}
