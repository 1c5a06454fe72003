// Writes events to virlan's log. Loaded only when there is something to write: loading pino takes 4 ms.
import type { Event } from '../report/event.ts';
import { logLine } from '../report/log-line.ts';
import { openLog } from '../system/log.ts';

/** Writes events to the log, each with these fields added. Throws when the log cannot be written. */
export function writeEvents(events: readonly Event[], fields: Readonly<Record<string, string>> = {}): void {
  const log = openLog();
  for (const event of events) {
    const line = logLine(event);
    log[line.level]({ ...fields, ...line.fields }, line.message);
  }
}
