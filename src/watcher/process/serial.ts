// Orders asynchronous work: one after the other, or once for many requests.

/** Runs work one after the other, in the order of the requests. Work that fails does not stop the next. */
export class Serial {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work, work);
    this.#last = result.catch(() => {});
    return result;
  }
}

/**
 * Runs work on request, once for all requests that arrive before it runs, with a pause before it runs again:
 * `pauseAfter` returns it in ms for work that took so long, without the wait for its turn in `queue`. The pause keeps
 * no process alive.
 */
export class Coalesced {
  #wanted = false;
  /** The end of the pause, by `performance.now()`. */
  #pausedUntil = 0;
  #running: Promise<void> | null = null;
  readonly #work: () => Promise<void>;
  readonly #pauseAfter: (tookMs: number) => number;
  readonly #queue: Serial;

  constructor(
    work: () => Promise<void>,
    pauseAfter: (tookMs: number) => number = () => 0,
    queue: Serial = new Serial(),
  ) {
    this.#work = work;
    this.#pauseAfter = pauseAfter;
    this.#queue = queue;
  }

  request(): Promise<void> {
    this.#wanted = true;
    // The work may request itself before its first pause.
    this.#running ??= Promise.resolve().then(() => this.#drain());
    return this.#running;
  }

  async #drain(): Promise<void> {
    try {
      while (this.#wanted) {
        const leftMs = this.#pausedUntil - performance.now();
        if (leftMs > 0) await new Promise(resolve => setTimeout(resolve, leftMs).unref());
        await this.#queue.run(() => this.#runOnce());
      }
    } finally {
      this.#running = null;
    }
  }

  async #runOnce(): Promise<void> {
    this.#wanted = false;
    const began = performance.now();
    await this.#work();
    const ended = performance.now();
    this.#pausedUntil = ended + this.#pauseAfter(ended - began);
  }
}
