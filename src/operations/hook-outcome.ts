// The outcome of a hook: events for the log, and whether libvirt may go on.
import type { Event } from '../report/event.ts';

export interface HookOutcome {
  readonly events: readonly Event[];
  /** The reason why the machine must not start, on a network with `on-error = abort`; null lets it start. */
  readonly abort: Error | null;
}
