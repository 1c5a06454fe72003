// Runs programs of the system to their end.
import { existsSync } from 'node:fs';
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
  const running = startProgram(program, args, {
    stdin: input === '' ? 'ignore' : 'pipe',
    timeout: timeoutSeconds * 1000,
    maxBuffer: maxOutputCharacters,
  });
  // A program need not read its input. execa's own option `input` makes a stream of it, which takes 2 ms.
  running.stdin?.end(input);
  running.once('exit', () => {
    setTimeout(() => {
      running.stdout.destroy();
      running.stderr.destroy();
    }, outputGraceMs).unref();
  });
  try {
    return (await running).stdout;
  } catch (error) {
    throw commandError(program, args, timeoutSeconds, error as ExecaError);
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
  return systemPath.split(':').some(directory => existsSync(`${directory}/${program}`));
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

function reasonOf({ code, timedOut, signal }: ExecaError): CommandFailure {
  if (code === 'ENOENT') return 'missing';
  if (timedOut) return 'timeout';
  return signal === undefined ? 'failed' : 'killed';
}

function endingOf({ exitCode, signal, originalMessage }: ExecaError): string {
  if (exitCode !== undefined) return `ended with ${exitCode}`;
  return signal === undefined ? (originalMessage ?? 'failed') : `was ended by ${signal}`;
}
