import type { NetworkConfig } from '../config/config.ts';
import type { Finding } from '../diagnosis/finding.ts';
import type { ProbeStatus } from '../report/status.ts';
import { isoSeconds } from '../text.ts';

/** How long a network is left to settle before it is probed, and from one probe to the next, in milliseconds. */
export interface ProbeRests {
  readonly settle: number;
  readonly between: number;
}

/** Probes networks on request, none more often than it can bear, and keeps what came of it. One that failed is tried again. */
export class BackgroundProbes {
  readonly #last = new Map<string, ProbeStatus>();
  readonly #began = new Map<string, number>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #probe: (network: NetworkConfig) => Promise<readonly Finding[]>;
  readonly #tell: (network: NetworkConfig, status: ProbeStatus) => void;
  readonly #rests: ProbeRests;
  #hasStopped = false;

  /** `probe` does not throw; `tell` hears of a result that differs from the one before. */
  constructor(
    probe: (network: NetworkConfig) => Promise<readonly Finding[]>,
    tell: (network: NetworkConfig, status: ProbeStatus) => void,
    rests: ProbeRests = { settle: 1000, between: 60_000 },
  ) {
    this.#probe = probe;
    this.#tell = tell;
    this.#rests = rests;
  }

  /** Has a network probed soon; once, however often that is asked for meanwhile. */
  request(network: NetworkConfig): void {
    if (this.#hasStopped || this.#timers.has(network.name)) return;
    const began = this.#began.get(network.name);
    const left = began === undefined ? 0 : began + this.#rests.between - performance.now();
    const send = () => void this.#send(network);
    this.#timers.set(network.name, setTimeout(send, Math.max(this.#rests.settle, left)).unref());
  }

  /** What the last probe of a network came to; null before the first. */
  last(network: string): ProbeStatus | null {
    return this.#last.get(network) ?? null;
  }

  stop(): void {
    this.#hasStopped = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }

  async #send(network: NetworkConfig): Promise<void> {
    const { name } = network;
    this.#timers.delete(name);
    this.#began.set(name, performance.now());
    const status = summarize(await this.#probe(network), new Date());
    const before = this.last(name);
    this.#last.set(name, status);
    if (before?.passed !== status.passed || before.seen !== status.seen) this.#tell(network, status);
    if (status.passed === false) this.request(network);
  }
}

function summarize(findings: readonly Finding[], now: Date): ProbeStatus {
  const at = isoSeconds(now);
  const failure = findings.find(({ state }) => state === 'fail');
  if (failure !== undefined) return { at, passed: false, seen: failure.seen };
  const unsent = findings.every(({ state }) => state === 'skipped') ? findings[0] : undefined;
  return { at, passed: unsent === undefined ? true : null, seen: unsent?.seen ?? null };
}
