// Sends probes after the watcher established or repaired a network, and after anybody changed rules or routes.
import { isDeepStrictEqual } from 'node:util';
import type { Finding } from '../diagnosis/finding.ts';
import { type ProbeResult, type ProbeStatus, probeStatus, resultOf } from '../diagnosis/probe/result.ts';

/** Pauses between a request and its probe, and between the starts of two probes of one network. */
export interface ProbePauses {
  /** Pause between a repair of a network and its probe, so that a burst of repairs causes one probe. */
  readonly afterRepairMs: number;
  /** Least pause between two probes because of repairs, or of a failure. */
  readonly betweenRepairsMs: number;
  /** Time without a change of rules or routes after which a probe is sent. */
  readonly quietMs: number;
  /** Longest wait for that. */
  readonly maxQuietMs: number;
  /** Least pause between two probes because of changes: it doubles while they go on, up to a limit. */
  readonly betweenChangesMs: number;
  readonly maxBetweenChangesMs: number;
  /** Age of a result after which a probe is sent again. */
  readonly maxAgeMs: number;
}

const defaultPauses: ProbePauses = {
  afterRepairMs: 1000,
  betweenRepairsMs: 60_000,
  quietMs: 2000,
  maxQuietMs: 8000,
  betweenChangesMs: 10_000,
  maxBetweenChangesMs: 320_000,
  maxAgeMs: 600_000,
};

/** Callbacks of BackgroundProbes. */
export interface ProbeEvents {
  /** A probe has ended. */
  ended(): void;
  /** Its result differs from the one before. */
  changed(network: string, result: ProbeResult): void;
}

/** A scheduled probe. Times are those of `performance.now()`. */
interface Scheduled {
  readonly timer: NodeJS.Timeout;
  readonly dueAt: number;
  /** The first change that it is sent for; null for a repair. */
  readonly changedAt: number | null;
}

/** The changes of one network since its last probe. */
interface Changes {
  /** The start of the last probe because of a change. */
  readonly probedAt: number;
  readonly pauseMs: number;
}

/**
 * Probes networks on request, each no more often than the pauses allow, and keeps the last result of each. A
 * probe that failed is repeated until it passes or cannot be sent.
 */
export class BackgroundProbes {
  readonly #last = new Map<string, { readonly result: ProbeResult; readonly at: Date }>();
  /** Start of the last probe of a network, by `performance.now()`. */
  readonly #began = new Map<string, number>();
  readonly #scheduled = new Map<string, Scheduled>();
  readonly #changes = new Map<string, Changes>();
  readonly #probe: (network: string) => Promise<readonly Finding[] | null>;
  readonly #events: ProbeEvents;
  readonly #pauses: ProbePauses;
  #hasStopped = false;

  /** `probe` must not throw, and returns null for a network that is no longer configured. */
  constructor(
    probe: (network: string) => Promise<readonly Finding[] | null>,
    events: ProbeEvents,
    pauses: ProbePauses = defaultPauses,
  ) {
    this.#probe = probe;
    this.#events = events;
    this.#pauses = pauses;
  }

  /** Schedules a probe of a network that was repaired. Further requests until then have no effect. */
  request(network: string): void {
    if (this.#scheduled.has(network)) return;
    const { afterRepairMs, betweenRepairsMs } = this.#pauses;
    this.#schedule(network, performance.now() + afterRepairMs, betweenRepairsMs, null);
  }

  /**
   * Schedules a probe of a network after a change of rules or routes: when changes have ended, and the more
   * rarely the longer they go on.
   */
  requestAfterChange(network: string): void {
    const { quietMs, maxQuietMs } = this.#pauses;
    const now = performance.now();
    const changedAt = this.#scheduled.get(network)?.changedAt ?? now;
    const dueAt = Math.min(now + quietMs, changedAt + maxQuietMs);
    this.#schedule(network, dueAt, this.#changesOf(network).pauseMs, changedAt);
  }

  /**
   * Schedules a probe of a network whose last result is old: of some changes the kernel tells nobody, such as those of
   * ipset's sets, of policies of IPsec, and of programs in BPF.
   */
  renew(network: string): void {
    const last = this.#last.get(network);
    if (last !== undefined && Date.now() - last.at.getTime() >= this.#pauses.maxAgeMs) this.request(network);
  }

  /** Returns the result of the last probe of a network; null before the first. */
  last(network: string): ProbeStatus | null {
    const last = this.#last.get(network);
    return last === undefined ? null : probeStatus(last.result, last.at);
  }

  stop(): void {
    this.#hasStopped = true;
    for (const { timer } of this.#scheduled.values()) clearTimeout(timer);
  }

  /** A probe that is scheduled earlier for a repair serves for a change, too. */
  #schedule(network: string, at: number, pauseMs: number, changedAt: number | null): void {
    if (this.#hasStopped) return;
    const dueAt = Math.max(at, (this.#began.get(network) ?? Number.NEGATIVE_INFINITY) + pauseMs);
    const before = this.#scheduled.get(network);
    if (before?.changedAt === null && before.dueAt <= dueAt) return;
    if (before !== undefined) clearTimeout(before.timer);
    const timer = setTimeout(() => void this.#send(network, changedAt), dueAt - performance.now()).unref();
    this.#scheduled.set(network, { timer, dueAt, changedAt });
  }

  #changesOf(network: string): Changes {
    const { betweenChangesMs: pauseMs } = this.#pauses;
    return this.#changes.get(network) ?? { probedAt: Number.NEGATIVE_INFINITY, pauseMs };
  }

  async #send(network: string, changedAt: number | null): Promise<void> {
    const now = performance.now();
    this.#scheduled.delete(network);
    this.#began.set(network, now);
    if (changedAt !== null) {
      const { betweenChangesMs, maxBetweenChangesMs } = this.#pauses;
      const { probedAt, pauseMs } = this.#changesOf(network);
      const goesOn = changedAt - probedAt < 2 * pauseMs;
      this.#changes.set(network, {
        probedAt: now,
        pauseMs: goesOn ? Math.min(2 * pauseMs, maxBetweenChangesMs) : betweenChangesMs,
      });
    }
    const findings = await this.#probe(network);
    if (findings === null) {
      for (const known of [this.#last, this.#began, this.#changes]) known.delete(network);
      return;
    }
    const result = resultOf(findings);
    const before = this.#last.get(network);
    this.#last.set(network, { result, at: new Date() });
    // The pause is between probes that were sent: this one may be sent as soon as its reason is gone.
    if (result.kind === 'not-sent') this.#began.delete(network);
    this.#events.ended();
    if (!isDeepStrictEqual(before?.result, result)) this.#events.changed(network, result);
    if (result.kind === 'failed') this.request(network);
  }
}
