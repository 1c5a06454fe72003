// The watcher's logger: pino.
import { type Logger, pino } from 'pino';
import { writeLogText } from './log.ts';

/** Opens virlan's log. Nothing is buffered, so that a process that is killed has logged what it did. */
export function openLog(): Logger {
  return pino(
    { base: { pid: process.pid }, timestamp: () => `,"time":"${new Date().toISOString()}"` },
    { write: writeLogText },
  );
}
