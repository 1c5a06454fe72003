// The promise of a network about packets to the outside, by which a probe is judged. Pure.
import type { NetworkConfig } from '../../config/config.ts';
import type { Uplink } from '../../network/routes/uplink.ts';

/** The treatment of packets to the outside that a network promises; `unknown` with `mode = open`. */
export type OutsidePromise = 'masqueraded' | 'own-address' | 'kept-inside' | 'unknown';

/** Returns what a network promises about packets to the outside, which is behind this uplink. */
export function promiseOf({ mode, uplink: allowed }: NetworkConfig, uplink: Uplink): OutsidePromise {
  if (mode === 'open') return 'unknown';
  const isElsewhere = allowed !== null && uplink.kind === 'via' && uplink.dev !== allowed;
  if (mode === 'isolated' || isElsewhere) return 'kept-inside';
  return mode === 'nat' ? 'masqueraded' : 'own-address';
}
