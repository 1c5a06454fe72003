/** Runs pieces of work one after the other, in the order they came. A piece that fails does not hold up the next. */
export class Serial {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work, work);
    this.#last = result.catch(() => {});
    return result;
  }
}

/**
 * Work for which only the latest request counts: asked for while it runs, it runs once more afterwards, when it has
 * rested for some milliseconds.
 */
export class Coalesced {
  #wanted = false;
  #running: Promise<void> | null = null;
  readonly #work: () => Promise<void>;
  readonly #rest: number;

  constructor(work: () => Promise<void>, rest: number) {
    this.#work = work;
    this.#rest = rest;
  }

  request(): Promise<void> {
    this.#wanted = true;
    this.#running ??= this.#drain();
    return this.#running;
  }

  async #drain(): Promise<void> {
    try {
      while (this.#wanted) {
        this.#wanted = false;
        await this.#work();
        if (this.#wanted) await new Promise(resolve => setTimeout(resolve, this.#rest));
      }
    } finally {
      this.#running = null;
    }
  }
}
