// virlan's log: JSON lines, in the journal or in a file, such as
// {"level":30,"time":"2024-05-01T10:00:00.000Z","pid":42,"network":"k8s-br0","msg":"network established"}
import { fstatSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { messageOf } from '../errors.ts';
import { appendToFile, makeDirectory } from './files.ts';
import { paths } from './paths.ts';

interface LogLine {
  readonly level: 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** pino's numbers of the levels. */
const levelNumbers: Readonly<Record<LogLine['level'], number>> = { info: 30, warn: 40, error: 50 };

const stderrDescriptor = 2;

/** The last error of writing the log that was printed; null once it could be written again. */
let reported: string | null = null;

/**
 * Writes lines to the log, in the format of `openLog` in logger.ts. It does not load pino, which takes 5 ms:
 * a machine's start waits for a hook, and a hook has all of its lines at its end.
 */
export function writeLog(lines: readonly LogLine[]): void {
  writeLogText(lines.map(line => `${JSON.stringify(format(line))}\n`).join(''));
}

/**
 * Adds text to the log. The file is opened for each text, so that it may be rotated or removed at any time.
 * The log decides nothing: an error is only printed, once.
 */
export function writeLogText(text: string): void {
  try {
    if (isJournal()) writeSync(stderrDescriptor, text);
    else {
      makeDirectory(dirname(paths.log));
      appendToFile(paths.log, text, 0o640);
    }
    reported = null;
  } catch (error) {
    const message = messageOf(error);
    if (message !== reported) print(`virlan: ${message}\n`);
    reported = message;
  }
}

/**
 * Returns whether systemd connected stderr to the journal, so that the log goes there instead of to a file.
 */
function isJournal(): boolean {
  // A child of a service inherits the variable, not always the stream: systemd.exec(5), $JOURNAL_STREAM.
  const { dev, ino } = fstatSync(stderrDescriptor);
  return process.env.JOURNAL_STREAM === `${dev}:${ino}`;
}

function print(text: string): void {
  try {
    writeSync(stderrDescriptor, text);
  } catch {
    // Nobody reads it.
  }
}

function format({ level, message, fields }: LogLine) {
  const time = new Date().toISOString();
  return { level: levelNumbers[level], time, pid: process.pid, ...fields, msg: message };
}
