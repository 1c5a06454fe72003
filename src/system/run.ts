// Runs programs of the system to their end.
import { closeSync, constants, existsSync, openSync, realpathSync, writeSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { ExecaError } from 'execa';
import { CommandError, type CommandFailure } from '../errors.ts';
import { systemPath } from './paths.ts';
import { tellingLine } from './stderr.ts';

/** The time limit of a program that is given no other. */
const defaultTimeoutSeconds = 10;

/** For each stream: the rulesets of other programs can be long. */
const maxOutputCharacters = 2 ** 28;

/**
 * Output is awaited this long after a program's end: a daemon that it started may hold the pipe open for
 * ever.
 */
const outputGraceMs = 1000;

/** O_TMPFILE without O_DIRECTORY (include/uapi/asm-generic/fcntl.h), which Node does not define. */
const tmpfile = 0o20000000;

export interface RunOptions {
  /** Text for the program's standard input; empty by default. */
  readonly input?: string;
  /** The program is killed when it has not ended after this time. The default is 10 s. */
  readonly timeoutSeconds?: number;
}

/**
 * Runs a program of the system with a list of arguments, never a shell. Returns its standard output without
 * the line break at its end. Throws CommandError when it is missing, fails or has not ended in time.
 */
export async function run(
  program: string,
  args: readonly string[],
  { input = '', timeoutSeconds = defaultTimeoutSeconds }: RunOptions = {},
): Promise<string> {
  // 11 ms to load: a hook without work runs no program.
  const { startProgram } = await import('./execa.ts');
  const inputFile = input === '' ? null : writeInput(input);
  try {
    const running = startProgram(program, args, {
      ...standardInput(input, inputFile),
      timeout: timeoutSeconds * 1000,
      maxBuffer: maxOutputCharacters,
    });
    running.once('exit', () => closeWhenSilent([running.stdout, running.stderr]));
    return (await running).stdout;
  } catch (error) {
    throw commandError(program, args, timeoutSeconds, error as ExecaError);
  } finally {
    if (inputFile !== null) closeSync(inputFile);
  }
}

/**
 * Closes the streams of a program that has ended, once nothing more comes from them. A process that is busy, or waits
 * for a CPU, may read what was written before the end only long after it. The streams are sockets.
 */
function closeWhenSilent(streams: readonly Readable[]): void {
  const bytesRead = () => streams.reduce((sum, stream) => sum + (stream as Socket).bytesRead, 0);
  const wait = (before: number) => {
    // The output is read between the timers and the callbacks of setImmediate.
    const compare = () => {
      const now = bytesRead();
      if (now !== before) wait(now);
      else for (const stream of streams) stream.destroy();
    };
    setTimeout(() => setImmediate(compare), outputGraceMs).unref();
  };
  wait(bytesRead());
}

/** Returns execa's options for a program's input. A program need not read it. */
function standardInput(input: string, inputFile: number | null) {
  // execa's types know the descriptors up to 9 only.
  if (inputFile !== null) return { stdin: inputFile as 3 };
  return input === '' ? { stdin: 'ignore' as const } : { input };
}

/**
 * Returns the descriptor of a file without a name that contains a program's input; null where none can be
 * made. Through a pipe the program would wait for its input until this process has set up its output, 5 ms.
 */
function writeInput(input: string): number | null {
  let file: number | null = null;
  try {
    file = openSync('/run', constants.O_RDWR | constants.O_DIRECTORY | tmpfile, 0o600);
    const bytes = Buffer.from(input);
    // At a position, so that the program begins to read at the start.
    for (let written = 0; written < bytes.length; )
      written += writeSync(file, bytes, written, bytes.length - written, written);
    return file;
  } catch {
    // A full /run, or a file system without O_TMPFILE.
    if (file !== null) closeSync(file);
    return null;
  }
}

/** Runs a program like `run`, but returns null when it is missing, fails or has not ended in time. */
export async function runOrNull(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string | null> {
  try {
    return await run(program, args, options);
  } catch (error) {
    if (error instanceof CommandError) return null;
    throw error;
  }
}

/** Returns whether a program of the system is on this host. */
export function isInstalled(program: string): boolean {
  return pathOf(program) !== null;
}

/** Returns the file that a program's name leads to, through links; null when it is not installed. */
export function leadsTo(program: string): string | null {
  const path = pathOf(program);
  return path === null ? null : realpathSync(path);
}

function pathOf(program: string): string | null {
  const paths = systemPath.split(':').map(directory => `${directory}/${program}`);
  return paths.find(path => existsSync(path)) ?? null;
}

function commandError(
  program: string,
  args: readonly string[],
  timeoutSeconds: number,
  cause: ExecaError,
): CommandError {
  const reason = reasonOf(cause);
  const stderr = String(cause.stderr ?? '');
  const details = { reason, exitCode: cause.exitCode ?? null, stderr, cause };
  if (reason === 'missing')
    return new CommandError(`${program} is not installed on this host: install it`, details);
  const outcome =
    reason === 'timeout' ? `not done after ${timeoutSeconds} s` : (tellingLine(stderr) ?? endingOf(cause));
  return new CommandError(`${[program, ...args].join(' ')}: ${outcome}`, details);
}

function reasonOf({ code, timedOut, signal, exitCode }: ExecaError): CommandFailure {
  if (code === 'ENOENT') return 'missing';
  if (timedOut) return 'timeout';
  if (signal !== undefined) return 'killed';
  return exitCode === undefined ? 'not-started' : 'failed';
}

function endingOf({ exitCode, signal, originalMessage, message }: ExecaError): string {
  if (exitCode !== undefined) return `ended with ${exitCode}`;
  return signal === undefined ? (originalMessage ?? message) : `was ended by ${signal}`;
}
