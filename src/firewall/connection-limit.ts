// The limit of TCP connections to dnsmasq. It has a process for each, at most 20 (MAX_PROCS in its config.h), and waits
// 150 s for a question.
import type { Rule } from './rule.ts';

/** The connections at once of a tap. Others wait for the client's next attempt. */
const connectionsOfSender = 8;

/** The priorities of packets by which the guard tells taps apart. 0xbe1a0010 is another mark of the guard. */
export const tapPriorities = { first: 0xbe1a8000, count: 0x8000 } as const;

const set = 'connections';

/** Returns the declaration of the set in which nftables counts connections, by tap; none where no rule does. */
export function connectionSets(rules: readonly Rule[]): string[] {
  return rules.some(({ surplus }) => surplus)
    ? [`\tset ${set} {\n\t\ttypeof meta priority\n\t\tsize 65535\n\t\tflags dynamic\n\t}\n`]
    : [];
}

const ofTaps = `${tapPriorities.first}-${tapPriorities.first + tapPriorities.count - 1}`;

/** The condition of nftables that a tap has more connections. Taps without a guard have no limit. */
export const moreOfTap = `meta priority ${ofTaps} add @${set} { meta priority ct count over ${connectionsOfSender} }`;

/** Returns whether a text is an element of that set, as nft lists it. */
export function isCounted(element: string): boolean {
  return /^[0-9a-f]+:[0-9a-f]+( ct count over \d+)?$/.test(element);
}
