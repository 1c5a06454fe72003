// What a hook came to: events for the log, and whether libvirt may go on.
import type { Event } from '../report/event.ts';

export interface HookOutcome {
  readonly events: readonly Event[];
  /** Why the machine must not start, where its network has `on-error = abort`; null lets it start. */
  readonly abort: Error | null;
}
