// Repairs that failed: they are tried again soon, because what makes them fail, such as a full disk, ends
// without an event. Pure: times are passed in.
import { type Unit, unitKey } from '../../network/steps/units.ts';

/** Pause before a repair that failed is tried again. */
const retryMs = 5000;

/** Pause before a network that must not be established is looked at again: mostly an event ends its conflict. */
const refusedRetryMs = 60_000;

/** A repair that failed. Without a unit it is that of the whole network, or of its record. */
export interface FailedRepair {
  readonly network: string;
  readonly unit: Unit | null;
  readonly error: Error & { readonly code?: unknown };
}

/** Remembers the repairs that failed, each until it is tried again. Times are those of `steadyNow`. */
export class FailedRepairs {
  #failures: readonly (FailedRepair & { readonly retryAt: number })[] = [];

  /** Returns whether a unit of a network may be repaired now; `null` stands for the whole network. */
  allows(network: string, unit: Unit | null, now: number): boolean {
    return !this.#failures.some(
      failed => failed.network === network && isSameUnit(failed.unit, unit) && now < failed.retryAt,
    );
  }

  /** Replaces the failures of a network that were due at the start of a repair by those of the repair. */
  replace(
    network: string,
    startedAt: number,
    failures: readonly Omit<FailedRepair, 'network'>[],
    now: number,
  ): void {
    const waiting = this.#failures.filter(
      failed => failed.network !== network || (failed.unit !== null && startedAt < failed.retryAt),
    );
    const added = failures.map(failure => ({
      ...failure,
      network,
      retryAt: now + (failure.error.code === 'refused' ? refusedRetryMs : retryMs),
    }));
    this.#failures = [...waiting, ...added];
  }

  /** Drops the failures of all other networks. */
  retain(networks: readonly string[]): void {
    this.#failures = this.#failures.filter(({ network }) => networks.includes(network));
  }

  /** Returns the failures to show: a network that must not be established has a problem of its own. */
  shown(): FailedRepair[] {
    return this.#failures.filter(({ error }) => error.code !== 'refused');
  }

  /** Returns when the next repair is to be tried again; null for none. */
  nextTry(): number | null {
    return this.#failures.length === 0 ? null : Math.min(...this.#failures.map(({ retryAt }) => retryAt));
  }
}

function isSameUnit(a: Unit | null, b: Unit | null): boolean {
  return a === null || b === null ? a === b : unitKey(a) === unitKey(b);
}
