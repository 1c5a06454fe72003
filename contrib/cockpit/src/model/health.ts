// Judges how well a network is, from its status. Pure.
import type { Fault, NetworkStatus } from '../../../../src/report/status.ts';

/** `broken`: machines may be without addresses or without the outside. */
export type Health = 'well' | 'warning' | 'broken';

/** The faults because of which machines may be cut off; all others are warnings. */
const severe: ReadonlySet<Fault['code']> = new Set([
  'not-established',
  'drift',
  'failed',
  'probe',
  'conflict',
  'detour',
  'outside-refused',
  'unreadable',
]);

/** Returns whether a fault may cut machines off. */
export function isSevere({ code }: Fault): boolean {
  return severe.has(code);
}

/** Returns how well a network is. */
export function healthOf({ up, faults, probe, machines }: NetworkStatus): Health {
  if (!up || probe?.passed === false || faults.some(isSevere)) return 'broken';
  const hasProblem = machines.some(
    ({ problem, forwards, refusedAliases }) =>
      problem !== null || refusedAliases.length > 0 || forwards.some(forward => forward.problem !== null),
  );
  return faults.length > 0 || hasProblem ? 'warning' : 'well';
}
