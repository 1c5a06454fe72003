// The delay between attempts to connect.

/** The delays between attempts to connect, in milliseconds. */
export interface BackoffOptions {
  /** Before the first new attempt. */
  readonly minMs: number;
  /** The delay doubles with each attempt up to this value. */
  readonly maxMs: number;
}

/**
 * Returns the delay before the next attempt, in milliseconds, after `failures` attempts in a row have failed.
 * Up to half of it is random, so that the clients of a restarted daemon do not all connect at the same
 * moment.
 */
export function backoffDelay(
  { minMs, maxMs }: BackoffOptions,
  failures: number,
  random: () => number = Math.random,
): number {
  return Math.round(Math.min(maxMs, minMs * 2 ** failures) * (1 - random() / 2));
}
