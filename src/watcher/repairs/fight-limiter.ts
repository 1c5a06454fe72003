// Limits repairs, so that a fight with another program does not use up the CPU. Pure: times are passed in.
import { type Fight, type Unit, unitKey } from '../../network/steps/units.ts';

/** The number of repairs of one unit to the same state, in a row and within a minute, that count as a fight. */
const maxRepairsPerMinute = 3;
/**
 * The number of repairs within a minute after which a unit whose state changes, as that of rules does with the default
 * route, is left alone too: a link that goes up and down all the time must not use up the CPU.
 */
const maxChangesPerMinute = 12;
const minuteMs = 60_000;

/**
 * The time for which a unit is left alone; twice as long each time the fight continues afterwards. The first
 * pause is short because it may not be a fight: a firewall may write its rules several times while it starts.
 */
const firstPauseMs = minuteMs / 4;
const maxPauseMs = 16 * minuteMs;

interface PastRepair {
  readonly time: number;
  /** Tells the state that was restored from others. */
  readonly goal: string;
}

interface History {
  readonly unit: Unit;
  readonly repairs: readonly PastRepair[];
  readonly fight: { readonly since: number; readonly until: number; readonly pauseMs: number } | null;
}

/**
 * Counts repairs per unit. A unit that is left alone is repaired again after the pause; when that repair
 * lasts for a minute, the fight is over. Times are those of `steadyNow`.
 */
export class FightLimiter {
  readonly #histories = new Map<string, History>();
  #lookedForExpiredAt = Number.NEGATIVE_INFINITY;

  /** Returns whether a unit may be repaired now. */
  allows(unit: Unit, now: number): boolean {
    const fight = this.#histories.get(unitKey(unit))?.fight ?? null;
    return fight === null || now >= fight.until;
  }

  /**
   * Counts a repair; `goal` is a text that is equal when the same state was restored. Returns the fight when the
   * unit is left alone from now on.
   */
  count(unit: Unit, goal: string, now: number): Fight | null {
    this.#forgetExpired(now);
    const key = unitKey(unit);
    const { repairs, fight } = withoutExpired(
      this.#histories.get(key) ?? { unit, repairs: [], fight: null },
      now,
    );
    const recent = [...repairs, { time: now, goal }];
    if (fight === null && !isFight(recent)) {
      this.#histories.set(key, { unit, repairs: recent, fight: null });
      return null;
    }
    const pauseMs = fight === null ? firstPauseMs : Math.min(2 * fight.pauseMs, maxPauseMs);
    const since = fight === null ? (recent[0]?.time ?? now) : fight.since;
    const until = now + pauseMs;
    this.#histories.set(key, { unit, repairs: [], fight: { since, until, pauseMs } });
    return { unit, since, until };
  }

  /** Looks at all units once a minute at most: a thousand machines can get their MACs one after the other. */
  #forgetExpired(now: number): void {
    if (now - this.#lookedForExpiredAt < minuteMs) return;
    this.#lookedForExpiredAt = now;
    for (const [key, history] of this.#histories) {
      const { repairs, fight } = withoutExpired(history, now);
      if (repairs.length === 0 && fight === null) this.#histories.delete(key);
    }
  }

  /** Returns the units that are left alone at present. */
  fights(now: number): Fight[] {
    return [...this.#histories.values()].flatMap(({ unit, fight }) =>
      fight !== null && now < fight.until ? [{ unit, since: fight.since, until: fight.until }] : [],
    );
  }
}

function isFight(repairs: readonly PastRepair[]): boolean {
  const last = repairs.slice(-maxRepairsPerMinute);
  const isSameAgain = last.every(({ goal }) => goal === last[0]?.goal);
  return (last.length === maxRepairsPerMinute && isSameAgain) || repairs.length === maxChangesPerMinute;
}

/** Returns a history without repairs and a fight that are more than a minute ago. */
function withoutExpired({ unit, repairs, fight }: History, now: number): History {
  return {
    unit,
    repairs: repairs.filter(({ time }) => now - time < minuteMs),
    fight: fight !== null && now - fight.until < minuteMs ? fight : null,
  };
}
