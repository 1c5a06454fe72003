// The watcher's logger: pino.
import { destination, type Logger, pino } from 'pino';
import { logsToJournal, protectLogFile } from './log.ts';
import { paths } from './paths.ts';

/** Opens virlan's log. Nothing is buffered, so that a process that is killed has logged what it did. */
export function openLog(): Logger {
  const isJournal = logsToJournal();
  const target = isJournal
    ? destination({ fd: 2, sync: true })
    : destination({ dest: paths.log, sync: true, mkdir: true });
  if (!isJournal) protectLogFile();
  return pino(
    { base: { pid: process.pid }, timestamp: () => `,"time":"${new Date().toISOString()}"` },
    target,
  );
}
