// The limit of the different values (clients, MACs, addresses, groups) that may be in use behind one tap. Pure.

/** Returns the lines of a set that rules fill, and whose elements end. `timeout`: with nft's unit. */
export function dynamicSet(type: string, timeout: string): readonly string[] {
  return [type, 'size 65535', 'flags dynamic,timeout', `timeout ${timeout}`];
}

/** The sets of a limit, and the chain of what exceeds it. */
export interface ValueLimit {
  /** The set of the values in use, by tap. */
  readonly known: string;
  /** The set that counts new values, by tap. */
  readonly counting: string;
  /** The limit of new values, in nft's words: `rate over 3072/hour burst 256 packets`. */
  readonly rate: string;
  readonly denied: string;
}

/** Returns the rules that give a packet a verdict if its value is in use already, or one more may be. */
export function limitValues(
  value: string,
  { known, counting, rate, denied }: ValueLimit,
  verdict: 'return' | 'accept',
): string[] {
  return [
    `iifname . ${value} @${known} ${verdict}`,
    `update @${counting} { iifname limit ${rate} } goto ${denied}`,
    `add @${known} { iifname . ${value} } ${verdict}`,
    // The set is full.
    `goto ${denied}`,
  ];
}

/** Returns the rate of a limit that allows a number of new values at once, and as many again in a time. */
export function againAfter(seconds: number, atOnce: number): string {
  return `rate over ${(atOnce * 3600) / seconds}/hour burst ${atOnce} packets`;
}
