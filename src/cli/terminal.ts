// Output for a person at a terminal: colours, warnings and progress.
import { styleText } from 'node:util';

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

/** Work that takes longer is announced by a message. */
const progressDelayMs = 1000;

/**
 * Returns text with styles if standard output is a terminal and NO_COLOR is not set: styleText of Node 20
 * checks neither.
 */
export function style(text: string, ...styles: Style[]): string {
  return isColoured(process.stdout) ? styleText(styles, text) : text;
}

function isColoured(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
}

/** Writes lines to standard output. */
export function print(...lines: readonly string[]): void {
  standardOutput ??= openStandardOutput();
  standardOutput.write(lines.map(line => `${line}\n`).join(''));
}

/** Opened by the first line: it takes 7 ms, and libvirtd's start and `up` wait for other things first. */
let standardOutput: NodeJS.WriteStream | null = null;

/** Returns standard output. A reader that stops reading, as `head` does, ends the process without an error. */
function openStandardOutput(): NodeJS.WriteStream {
  return process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(0);
  });
}

/** Writes a value to standard output as indented JSON. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

/** Prints a value as one line of JSON, for programs that read line by line. */
export function printJsonLine(value: unknown): void {
  print(JSON.stringify(value));
}

/** Writes a warning to standard error, so that programs that read standard output do not see it. */
export function warn(message: string): void {
  const prefix = isColoured(process.stderr) ? styleText('yellow', 'warning:') : 'warning:';
  process.stderr.write(`virlan: ${prefix} ${message}\n`);
}

/**
 * Awaits work. If it takes longer than a second and standard error is a terminal, prints the message there.
 */
export async function progress<T>(message: string, work: Promise<T>): Promise<T> {
  // Only then is standard error opened, which takes 2 ms.
  const announce = () => {
    if (process.stderr.isTTY === true) process.stderr.write(`virlan: ${message} …\n`);
  };
  const timer = setTimeout(announce, progressDelayMs);
  try {
    return await work;
  } finally {
    clearTimeout(timer);
  }
}
