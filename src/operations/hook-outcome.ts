// The outcome of a hook: events for the log, and whether libvirt may go on.
import type { Config } from '../config/config.ts';
import type { Event } from '../report/event.ts';

export interface HookOutcome {
  readonly events: readonly Event[];
  /** The reason why the machine must not start, on a network with `on-error = abort`; null lets it start. */
  readonly abort: Error | null;
}

/** Returns the outcome for a machine that starts and of which nothing is known: it may be on any network. */
export function unknownStart(error: Error, { networks }: Config): HookOutcome {
  const mayAbort = networks.some(({ onError }) => onError === 'abort');
  return { events: [{ kind: 'failed', during: 'hook', error }], abort: mayAbort ? error : null };
}
