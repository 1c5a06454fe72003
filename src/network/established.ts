// The result of establishing a network or taking it down.
import type { RefusedForward } from '../forwards/problem.ts';
import type { Applied } from './apply.ts';
import type { NetworkWarning } from './warnings/warnings.ts';

/** The changes made by establishing a network or taking it down, and problems that virlan cannot repair. */
export interface Established extends Applied {
  readonly warnings: readonly NetworkWarning[];
  /** Forwards that are not active, and were before, or were not asked for. */
  readonly refused: readonly RefusedForward[];
}
