/** How long to wait between attempts to connect. */
export interface BackoffOptions {
  /** Before the first new attempt. */
  readonly minMs: number;
  /** The delay doubles with each attempt up to this. */
  readonly maxMs: number;
}

/**
 * The delay before a new attempt, when `failures` attempts in a row have failed before. A part of it, up to a half, is
 * random, so that many clients of a daemon that comes back do not all come at once.
 */
export const backoffDelay = (
  { minMs, maxMs }: BackoffOptions,
  failures: number,
  random: () => number = Math.random,
): number => Math.round(Math.min(maxMs, minMs * 2 ** failures) * (1 - random() / 2));
