/** Something that was repaired so often that it is left alone for a while: another program fights for it. */
export interface Fight {
  readonly thing: string;
  /** Both in milliseconds since 1970. */
  readonly since: number;
  readonly until: number;
}

/** So many repairs of one thing within a minute are no accident. */
const tooMany = 3;
const minute = 60_000;

/**
 * How long a thing is left alone, in milliseconds; twice as long each time the fight goes on afterwards. The first is
 * short because it may be no fight: a firewall that writes its rules again and again as it starts is soon done.
 */
const pauses = { first: minute / 4, longest: 16 * minute };

interface Record {
  /** When it was repaired. */
  repairs: readonly number[];
  fight: { readonly since: number; readonly until: number; readonly pause: number } | null;
}

/**
 * Keeps count of repairs, so that two programs that will have a thing differently do not burn the host. What is left
 * alone is tried again after the pause; when that repair lasts for a minute, the fight is over. Times are in
 * milliseconds since 1970.
 */
export class Damping {
  readonly #records = new Map<string, Record>();

  /** Whether a thing may be repaired now. */
  allows(thing: string, now: number): boolean {
    const fight = this.#records.get(thing)?.fight ?? null;
    return fight === null || now >= fight.until;
  }

  /** A thing was repaired, or its repair failed. True when it is left alone from now on. */
  count(thing: string, now: number): boolean {
    for (const [other, record] of this.#records) {
      const { repairs, fight } = upToDate(record, now);
      if (repairs.length === 0 && fight === null) this.#records.delete(other);
    }
    const { repairs, fight } = upToDate(this.#records.get(thing) ?? { repairs: [], fight: null }, now);
    const recent = [...repairs, now];
    const goesOn = fight !== null;
    if (!goesOn && recent.length < tooMany) {
      this.#records.set(thing, { repairs: recent, fight: null });
      return false;
    }
    const pause = goesOn ? Math.min(2 * fight.pause, pauses.longest) : pauses.first;
    const since = goesOn ? fight.since : (recent[0] ?? now);
    this.#records.set(thing, { repairs: [], fight: { since, until: now + pause, pause } });
    return true;
  }

  /** What is left alone at present. */
  fights(now: number): Fight[] {
    return [...this.#records].flatMap(([thing, { fight }]) =>
      fight !== null && now < fight.until ? [{ thing, since: fight.since, until: fight.until }] : [],
    );
  }
}

function upToDate({ repairs, fight }: Record, now: number): Record {
  return {
    repairs: repairs.filter(time => now - time < minute),
    fight: fight !== null && now - fight.until < minute ? fight : null,
  };
}
