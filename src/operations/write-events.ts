// Writes events to virlan's log. Loaded only when there is something to write.
import type { Event } from '../report/event.ts';
import { logLine } from '../report/log-line.ts';
import { writeLog } from '../system/log.ts';

/** Writes events to the log, each with these fields added. */
export function writeEvents(events: readonly Event[], fields: Readonly<Record<string, string>> = {}): void {
  if (events.length === 0) return;
  writeLog(events.map(logLine).map(line => ({ ...line, fields: { ...fields, ...line.fields } })));
}
