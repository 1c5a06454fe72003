// Sends probes after the watcher established or repaired a network.
import { isDeepStrictEqual } from 'node:util';
import type { NetworkConfig } from '../config/config.ts';
import type { Finding } from '../diagnosis/finding.ts';
import { type ProbeResult, type ProbeStatus, probeStatus, resultOf } from '../diagnosis/probe/result.ts';

/** Pauses between a request and its probe, and between the starts of two probes of one network. */
export interface ProbePauses {
  /** Pause between a change of a network and its probe, so that a burst of changes causes one probe. */
  readonly afterChangeMs: number;
  readonly betweenMs: number;
}

/**
 * Probes networks on request, each no more often than the pauses allow, and keeps the last result of each. A
 * probe that failed is repeated until it passes or cannot be sent.
 */
export class BackgroundProbes {
  readonly #last = new Map<string, { readonly result: ProbeResult; readonly at: Date }>();
  /** Start of the last probe of a network, by `performance.now()`. */
  readonly #began = new Map<string, number>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #probe: (network: NetworkConfig) => Promise<readonly Finding[]>;
  readonly #onChange: (network: NetworkConfig, result: ProbeResult) => void;
  readonly #pauses: ProbePauses;
  #hasStopped = false;

  /** `probe` must not throw. `onChange` is called with a result that differs from the one before. */
  constructor(
    probe: (network: NetworkConfig) => Promise<readonly Finding[]>,
    onChange: (network: NetworkConfig, result: ProbeResult) => void,
    pauses: ProbePauses = { afterChangeMs: 1000, betweenMs: 60_000 },
  ) {
    this.#probe = probe;
    this.#onChange = onChange;
    this.#pauses = pauses;
  }

  /** Schedules a probe of a network. Further requests until then have no effect. */
  request(network: NetworkConfig): void {
    if (this.#hasStopped || this.#timers.has(network.name)) return;
    const began = this.#began.get(network.name);
    const { afterChangeMs, betweenMs } = this.#pauses;
    const leftMs = began === undefined ? 0 : began + betweenMs - performance.now();
    const send = () => void this.#send(network);
    this.#timers.set(network.name, setTimeout(send, Math.max(afterChangeMs, leftMs)).unref());
  }

  /** Returns the result of the last probe of a network; null before the first. */
  last(network: string): ProbeStatus | null {
    const last = this.#last.get(network);
    return last === undefined ? null : probeStatus(last.result, last.at);
  }

  stop(): void {
    this.#hasStopped = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }

  async #send(network: NetworkConfig): Promise<void> {
    const { name } = network;
    this.#timers.delete(name);
    this.#began.set(name, performance.now());
    const result = resultOf(await this.#probe(network));
    const before = this.#last.get(name);
    this.#last.set(name, { result, at: new Date() });
    if (!isDeepStrictEqual(before?.result, result)) this.#onChange(network, result);
    if (result.kind === 'failed') this.request(network);
  }
}
