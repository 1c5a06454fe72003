// Answers a daemon of libvirt that starts, and waits until the networks are there.
import type { Config } from '../../config/config.ts';
import { isAlive } from '../../dnsmasq/process.ts';
import type { HookOutcome } from '../../operations/hook-outcome.ts';
import { preventDefault, startDaemon } from '../../operations/start-daemon.ts';
import type { Event } from '../../report/event.ts';
import { becomeAlive } from './await-alive.ts';

/** The work of the watcher that goes on after the answer. */
export interface AfterAnswer {
  /** Compares all networks with the configuration. */
  establish(): Promise<void>;
  report(events: readonly Event[]): void;
}

/**
 * Answers as soon as every network has its bridge and its dnsmasq, which come after its rules. The rest, what virlan
 * loaded and has in other firewalls, is compared after the answer. Where all is there, which takes no program to
 * see, the watcher has kept it right.
 */
export async function answerDaemon(config: Config, { establish, report }: AfterAnswer): Promise<HookOutcome> {
  const failed = (during: 'reconcile' | 'hook') => (error: Error) =>
    report([{ kind: 'failed', during, error }]);
  if (config.networks.every(isAlive)) {
    void establish().catch(failed('reconcile'));
    return { events: preventDefault(config), abort: null };
  }
  const ended = new AbortController();
  const alive = becomeAlive(config.networks, ended.signal);
  const started = startDaemon(config).finally(() => ended.abort());
  if (!(await Promise.race([alive, started.then(() => false)]))) return started;
  void started.then(({ events }) => report(events)).catch(failed('hook'));
  return { events: [], abort: null };
}
