// Repairs networks, and leaves a unit alone for a while that had to be repaired too often.
import type { NetworkConfig } from '../../config/config.ts';
import { findDnsmasq, isStopped } from '../../dnsmasq/process.ts';
import { isTakenDown } from '../../network/records/applied-record.ts';
import { type Fight, isAlwaysRepaired, type Unit } from '../../network/steps/units.ts';
import { repairNetwork } from '../../operations/establish-networks.ts';
import type { NetworkEvent } from '../../report/event.ts';
import { steadyNow } from '../process/elapsed.ts';
import { type FailedRepair, FailedRepairs } from './failed-repairs.ts';
import { FightLimiter } from './fight-limiter.ts';

/** Repairs networks within the limits of a FightLimiter, and reports each lasting failure once. */
export class Repairs {
  readonly #limiter = new FightLimiter();
  readonly #failed = new FailedRepairs();
  /** By network: the conditions that the last scan reported, so that each is reported once. */
  readonly #reported = new Map<string, ReadonlySet<string>>();
  readonly #report: (events: readonly NetworkEvent[]) => void;
  readonly #retry: () => void;
  #retryTimer: NodeJS.Timeout | null = null;

  /** `retry` is called when a unit that is left alone, or has failed, may be repaired again. */
  constructor(report: (events: readonly NetworkEvent[]) => void, retry: () => void) {
    this.#report = report;
    this.#retry = retry;
  }

  /** Compares networks with their configuration and repairs them. Returns whether a step took effect. */
  async repairAll(networks: readonly NetworkConfig[]): Promise<boolean> {
    this.#failed.retain(networks.map(({ name }) => name));
    let isRepaired = false;
    for (const network of networks) isRepaired = (await this.#repair(network)) || isRepaired;
    this.#scheduleRetry();
    return isRepaired;
  }

  async #repair(network: NetworkConfig): Promise<boolean> {
    const startedAt = steadyNow();
    const mayRepair = (unit: Unit) =>
      (isAlwaysRepaired(unit) || this.#limiter.allows(unit, startedAt)) &&
      this.#failed.allows(network.name, unit, startedAt);
    const { events, repaired, failures } = await repairNetwork(network, mayRepair);
    const now = steadyNow();
    this.#failed.replace(network.name, startedAt, failures, now);
    const limited = repaired.filter(({ unit }) => !isAlwaysRepaired(unit));
    const fights = limited.flatMap(({ unit, goal }) => this.#limiter.count(unit, goal, now) ?? []);
    this.#report([
      ...this.#selectNew(network, events),
      ...fights.map(fight => ({ kind: 'unit-left-alone', network: network.name, fight }) as const),
    ]);
    return events.some(({ kind }) => kind === 'network-repaired');
  }

  /** Returns whether a network's dnsmasq has ended, or was stopped, and may be started again now. */
  isDnsmasqDue({ name, bridge }: NetworkConfig): boolean {
    if (isTakenDown(bridge)) return false;
    const [unit, now] = [{ kind: 'dnsmasq', bridge } as const, steadyNow()];
    const hasNotFailed = [unit, null].every(each => this.#failed.allows(name, each, now));
    if (!hasNotFailed || !this.#limiter.allows(unit, now)) return false;
    // Last, because it may search all processes.
    const pid = findDnsmasq(bridge);
    return pid === null || isStopped(pid);
  }

  /** Returns the repairs that failed when they were last tried. */
  failures(): FailedRepair[] {
    return this.#failed.shown();
  }

  /** Returns the units that are left alone at present. */
  fights(): Fight[] {
    return this.#limiter.fights(steadyNow());
  }

  /**
   * Returns when the next unit may be repaired again, as `steadyNow` tells it; null when none is left
   * alone or has failed.
   */
  #nextTry(): number | null {
    const failed = this.#failed.nextTry();
    const ends = [...this.fights().map(({ until }) => until), ...(failed === null ? [] : [failed])];
    return ends.length === 0 ? null : Math.min(...ends);
  }

  #scheduleRetry(): void {
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    const next = this.#nextTry();
    this.#retryTimer = next === null ? null : setTimeout(this.#retry, next - steadyNow()).unref();
  }

  /** Returns the events without failures and warnings that the previous scan reported. */
  #selectNew({ name }: NetworkConfig, events: readonly NetworkEvent[]): NetworkEvent[] {
    const before = this.#reported.get(name) ?? new Set();
    const keys = events.map(conditionKey);
    this.#reported.set(name, new Set(keys.filter(key => key !== null)));
    return events.filter((_, index) => {
      const key = keys[index] ?? null;
      return key === null || !before.has(key);
    });
  }
}

/** Returns a text that is equal for equal conditions of a network; null for an event that is a change. */
function conditionKey(event: NetworkEvent): string | null {
  switch (event.kind) {
    case 'network-established':
    case 'network-repaired':
    case 'network-taken-down':
    case 'forwards-changed':
    case 'forward-refused':
    case 'dnsmasq-silent':
    case 'unit-left-alone':
      return null;
    case 'step-failed':
    case 'network-failed':
    case 'network-warning':
      return JSON.stringify(event, replaceForKey);
  }
}

/** Replaces a bigint, which JSON refuses. Of an Error, JSON has the fields without the message. */
function replaceForKey(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
