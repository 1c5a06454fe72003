// Follows files by inotify, and by looking at them while inotify is used up. The limits of inotify are shared by
// all programs of root's, so that another program can use them up at any time.
import type { InotifySysctl } from '../../system/inotify.ts';

/** Interval of looking at files while inotify is used up. */
export const pollIntervalMs = 2000;

/** Interval of trying inotify again. */
const retryIntervalMs = 15_000;

/** The overlap of the old way and the new one: a change just before the new way began is seen by the old one only. */
const overlapMs = 2 * pollIntervalMs;

export interface Closable {
  close(): unknown;
}

/** The two ways of following the same files. */
export interface Ways {
  /** Identifies what is at the paths: the text changes when a directory is removed, made again or mounted over. */
  identity(): string;
  /**
   * Follows by inotify. After it has returned, calls `started` when all files are followed, and `usedUp` when one
   * cannot be, then or later.
   */
  byEvents(started: () => void, usedUp: (limit: InotifySysctl) => void): Closable;
  byPolling(): Closable;
}

/** Called when the way changes. */
export interface WayChanges {
  polled(limit: InotifySysctl): void;
  followed(): void;
  /**
   * A way has begun to work, also at the start: changes from now on are noticed, and earlier ones may not have been.
   */
  settled(): void;
}

/** Files that are followed in one of two ways. */
export class FollowedFiles {
  readonly #ways: Ways;
  readonly #changes: WayChanges;
  #events: Closable | null = null;
  #identity = '';
  #polling: Closable | null = null;
  #usedUp: InotifySysctl | null = null;
  #isClosed = false;
  #retryTimer: NodeJS.Timeout | null = null;
  /** The ways that are replaced, and the timer that closes each. */
  readonly #replaced = new Map<Closable, NodeJS.Timeout>();

  constructor(ways: Ways, changes: WayChanges) {
    this.#ways = ways;
    this.#changes = changes;
    this.#follow();
  }

  /** The limit of inotify that is used up, so that the files are polled; null while they are followed. */
  get usedUp(): InotifySysctl | null {
    return this.#usedUp;
  }

  /** Follows the paths anew if what is there was replaced: inotify follows what was there before. */
  followReplaced(): void {
    const replaced = this.#events;
    if (this.#isClosed || replaced === null || this.#ways.identity() === this.#identity) return;
    // Closed first, because chokidar has one inotify watch for all that follow a path. `settled` looks for changes
    // in between.
    void replaced.close();
    this.#follow();
  }

  close(): unknown {
    this.#isClosed = true;
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    for (const timer of this.#replaced.values()) clearTimeout(timer);
    const all = [this.#events, this.#polling, ...this.#replaced.keys()];
    return Promise.all(all.map(followed => followed?.close()));
  }

  #follow(): void {
    // Read first, so that a directory that is replaced meanwhile is noticed.
    this.#identity = this.#ways.identity();
    const events = this.#ways.byEvents(
      () => this.#events === events && this.#eventsStarted(),
      limit => {
        if (this.#events !== events || this.#isClosed) return;
        this.#events = null;
        this.#poll(limit);
        this.#closeLater(events, () => this.#changes.settled());
        this.#retryTimer = setTimeout(() => this.#follow(), retryIntervalMs).unref();
      },
    );
    this.#events = events;
  }

  #poll(limit: InotifySysctl): void {
    this.#polling ??= this.#ways.byPolling();
    if (this.#usedUp === null) this.#changes.polled(limit);
    this.#usedUp = limit;
  }

  #eventsStarted(): void {
    if (this.#isClosed) return;
    this.#changes.settled();
    if (this.#polling === null) return;
    const polling = this.#polling;
    this.#polling = null;
    this.#usedUp = null;
    this.#changes.followed();
    this.#closeLater(polling);
  }

  #closeLater(followed: Closable, closed: () => void = () => {}): void {
    const close = () => {
      this.#replaced.delete(followed);
      void followed.close();
      closed();
    };
    this.#replaced.set(followed, setTimeout(close, overlapMs).unref());
  }
}
