import { setTimeout as pause } from 'node:timers/promises';
import { Coalesced } from './serial.ts';

/** What says that something may have changed, and can be told to wait. */
interface Source {
  hold(): void;
  goOn(): void;
  stop(): void;
}

/** How long a burst of changes is waited out before the host is looked at, in milliseconds. */
const burst = 20;

/** After how many milliseconds without a sign those that came before are forgotten. */
const quiet = 1000;

/**
 * Looks at the host when there is a sign that something may have changed; one look for a burst of them. Nobody listens
 * while a look and the rest after it last: what is said meanwhile waits, and is a sign then. So a host that changes all
 * the time is looked at for a part of the time only, and nothing piles up.
 */
export class Lookout {
  readonly #look: () => Promise<boolean>;
  readonly #round = new Coalesced(() => this.#lookAndRest(), 0);
  #sources: readonly Source[] = [];
  /** How many looks in a row found nothing. */
  #inVain = 0;
  #ended = 0;

  /** `look` gives whether there was something to put right. */
  constructor(look: () => Promise<boolean>) {
    this.#look = look;
  }

  listen(sources: readonly Source[]): void {
    this.#sources = sources;
  }

  sign(): void {
    void this.#round.request();
  }

  stop(): void {
    for (const source of this.#sources) source.stop();
  }

  async #lookAndRest(): Promise<void> {
    for (const source of this.#sources) source.hold();
    try {
      await pause(burst, undefined, { ref: false });
      const began = performance.now();
      const isRepair = await this.#look();
      const took = performance.now() - began;
      const isFirst = began - this.#ended > quiet;
      this.#inVain = isRepair ? 0 : isFirst ? 1 : this.#inVain + 1;
      await pause(restAfter(took, this.#inVain), undefined, { ref: false });
    } finally {
      this.#ended = performance.now();
      for (const source of this.#sources) source.goOn();
    }
  }
}

/**
 * How long to rest after a look that found something, in milliseconds: who wrote there mostly goes on, as Docker does
 * three times in 300 ms when it starts, and one repair more is to make good for all the rest.
 */
const restAfterRepair = 400;

/** After so many looks in a row that found nothing, the rest is as long as the look was. */
const enough = 3;

/** The longest rest after a look that takes less time than that, in milliseconds. */
const longestRest = 1000;

/**
 * How long to rest after a look that took so long, as the last of some in a row that found nothing, or of none where it
 * found something; in milliseconds. Looks in vain get rarer, down to one a second, or half of the time where a look takes
 * long.
 */
export function restAfter(took: number, inVain: number): number {
  if (inVain === 0) return restAfterRepair;
  return Math.min(took * 2 ** (inVain - enough), Math.max(took, longestRest));
}
