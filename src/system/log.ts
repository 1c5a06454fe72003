import { chmodSync, existsSync, fstatSync } from 'node:fs';
import { destination, type Logger, pino } from 'pino';
import { paths } from './paths.ts';

/**
 * virlan's log, as JSON lines: to the journal where systemd gave this process its stderr, else to a file. Nothing is
 * buffered, so that a killed hook has said what it did.
 */
export function openLog(): Logger {
  const stderr = fstatSync(2);
  // A child of a service inherits the variable, not always the stream: systemd.exec(5), $JOURNAL_STREAM.
  const toJournal = process.env.JOURNAL_STREAM === `${stderr.dev}:${stderr.ino}`;
  const target = toJournal
    ? destination({ fd: 2, sync: true })
    : destination({ dest: paths.log, sync: true, mkdir: true });
  if (!toJournal && existsSync(paths.log)) chmodSync(paths.log, 0o640);
  return pino(
    { base: { pid: process.pid }, timestamp: () => `,"time":"${new Date().toISOString()}"` },
    target,
  );
}
