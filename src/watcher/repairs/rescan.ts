// Schedules scans of the host: after a burst of changes, and less often while scans find nothing.
import { setTimeout as pause } from 'node:timers/promises';
import { Coalesced } from '../process/serial.ts';

/** A monitor of the host that can be paused. */
interface Monitor {
  pause(): void;
  resume(): void;
  stop(): void;
}

/** Wait before a scan, so that one scan covers a burst of changes. */
const burstMs = 20;

/** Scans without effect are forgotten after this long without a request. */
const quietMs = 1000;

/**
 * Scans the host on request; one scan for a burst of requests. Monitors are paused during a scan and the
 * pause after it; their reports wait and request the next scan. So a host that changes all the time does not
 * cause a queue of scans.
 */
export class Rescan {
  readonly #scan: () => Promise<boolean>;
  readonly #round = new Coalesced(() => this.#scanAndPause());
  #monitors: readonly Monitor[] = [];
  /** Scans in a row that repaired nothing. */
  #idleScans = 0;
  #endedAt = 0;
  readonly #whenFree: () => Promise<void> | null;
  /** True while a scan is requested, and waits for something else. */
  #isWaiting = false;

  /**
   * `scan` returns whether it repaired something. No scan begins before the promise of `whenFree` resolves; null: at
   * once.
   */
  constructor(scan: () => Promise<boolean>, whenFree: () => Promise<void> | null = () => null) {
    this.#scan = scan;
    this.#whenFree = whenFree;
  }

  /** Sets the monitors to pause during scans. */
  pauseWhileScanning(monitors: readonly Monitor[]): void {
    this.#monitors = monitors;
  }

  /** Requests a scan. */
  request(): void {
    if (this.#isWaiting) return;
    const free = this.#whenFree();
    if (free === null) {
      void this.#round.request();
      return;
    }
    this.#isWaiting = true;
    void free.then(() => {
      this.#isWaiting = false;
      void this.#round.request();
    });
  }

  /** Resumes the monitors, also during a scan. */
  listen(): void {
    for (const monitor of this.#monitors) monitor.resume();
  }

  /** Stops the monitors. */
  stop(): void {
    for (const monitor of this.#monitors) monitor.stop();
  }

  async #scanAndPause(): Promise<void> {
    for (const monitor of this.#monitors) monitor.pause();
    try {
      await pause(burstMs, undefined, { ref: false });
      const startedAt = performance.now();
      const isRepair = await this.#scan();
      const tookMs = performance.now() - startedAt;
      const isFirst = startedAt - this.#endedAt > quietMs;
      this.#idleScans = isRepair ? 0 : isFirst ? 1 : this.#idleScans + 1;
      await pause(pauseAfter(tookMs, this.#idleScans), undefined, { ref: false });
    } finally {
      this.#endedAt = performance.now();
      this.listen();
    }
  }
}

/**
 * Pause after a scan with a repair: the program that made the change often makes more, as Docker does three
 * times in 300 ms when it starts, and one more repair then covers them.
 */
const pauseAfterRepairMs = 400;

/** After this number of scans without a repair, the pause is as long as the scan took. */
const warmUpScans = 3;

/** Longest pause after a scan that takes less time than this. */
const maxPauseMs = 1000;

/**
 * Returns the pause after a scan in ms. `tookMs`: how long it ran. `idleScans`: scans in a row that repaired
 * nothing, this one included; 0 if it repaired something. Idle scans become rarer, down to one a second, or
 * to half of the time where a scan takes long.
 */
export function pauseAfter(tookMs: number, idleScans: number): number {
  if (idleScans === 0) return pauseAfterRepairMs;
  return Math.min(tookMs * 2 ** (idleScans - warmUpScans), Math.max(tookMs, maxPauseMs));
}
