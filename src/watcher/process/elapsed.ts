// The time for pauses and limits.

/**
 * Returns the time in milliseconds since 1970, as if nobody had set the clock since this process started: a host sets
 * it after its boot, by hours where its hardware clock shows the local time.
 */
export function steadyNow(): number {
  return Math.round(performance.timeOrigin + performance.now());
}
