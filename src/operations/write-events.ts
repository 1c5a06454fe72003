// Writes events to virlan's log. A machine's start writes at most the lines of reservations, so the words of
// all others are loaded when needed.
import type { Event } from '../report/event.ts';
import { isMade, type LogLine, reservationLine, withCode } from '../report/log-text.ts';
import { writeLog } from '../system/log.ts';

/** Writes events to the log, each with these fields added. */
export async function writeEvents(
  events: readonly Event[],
  fields: Readonly<Record<string, string>> = {},
): Promise<void> {
  const lines = await Promise.all(events.map(lineOf));
  if (lines.length > 0) writeLog(lines.map(line => ({ ...line, fields: { ...fields, ...line.fields } })));
}

/** Loads the words of all lines, for a caller that has nothing else to do. */
export function loadWords() {
  return import('../report/log-line.ts');
}

async function lineOf(event: Event): Promise<LogLine> {
  if (event.kind === 'reservation' && isMade(event.event))
    return withCode(event.kind, reservationLine(event.event));
  const { logLine } = await loadWords();
  return logLine(event);
}
