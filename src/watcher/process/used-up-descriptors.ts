// Keeps the watcher alive while no descriptor is free.
import type { Event } from '../../report/event.ts';

/** An outage is reported again after this time. */
const reportIntervalMs = 60_000;

/**
 * Reports errors that say that no descriptor is free, and that nothing else handles, instead of ending: any call
 * can fail with one, those of Node's own included, and the next scan does what could not be done. All other
 * errors end the process as usual.
 */
export function outliveUsedUpDescriptors(report: (event: Event) => void): void {
  let reportedAt = Number.NEGATIVE_INFINITY;
  process.on('uncaughtException', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EMFILE' && error.code !== 'ENFILE') throw error;
    if (performance.now() - reportedAt < reportIntervalMs) return;
    reportedAt = performance.now();
    report({ kind: 'failed', during: 'reconcile', error });
  });
}
