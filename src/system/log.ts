// virlan's log: JSON lines, in the journal or in a file, such as
// {"level":30,"time":"2024-05-01T10:00:00.000Z","pid":42,"network":"k8s-br0","msg":"network established"}
import { appendFileSync, chmodSync, existsSync, fstatSync, mkdirSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { paths } from './paths.ts';

interface LogLine {
  readonly level: 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** pino's numbers of the levels. */
const levelNumbers: Readonly<Record<LogLine['level'], number>> = { info: 30, warn: 40, error: 50 };

const stderrDescriptor = 2;

/**
 * Returns whether systemd connected stderr to the journal, so that the log goes there instead of to a file.
 */
export function logsToJournal(): boolean {
  const { dev, ino } = fstatSync(stderrDescriptor);
  // A child of a service inherits the variable, not always the stream: systemd.exec(5), $JOURNAL_STREAM.
  return process.env.JOURNAL_STREAM === `${dev}:${ino}`;
}

/** Keeps the log file from users other than root and its group. */
export function protectLogFile(): void {
  if (existsSync(paths.log)) chmodSync(paths.log, 0o640);
}

/**
 * Writes lines to the log, in the format of `openLog` in logger.ts. Throws when the log cannot be written. It
 * does not load pino, which takes 5 ms: a machine's start waits for a hook, and a hook has all of its lines
 * at its end.
 */
export function writeLog(lines: readonly LogLine[]): void {
  const text = lines.map(line => `${JSON.stringify(format(line))}\n`).join('');
  if (logsToJournal()) writeSync(stderrDescriptor, text);
  else {
    mkdirSync(dirname(paths.log), { recursive: true });
    appendFileSync(paths.log, text);
    protectLogFile();
  }
}

function format({ level, message, fields }: LogLine) {
  const time = new Date().toISOString();
  return { level: levelNumbers[level], time, pid: process.pid, ...fields, msg: message };
}
