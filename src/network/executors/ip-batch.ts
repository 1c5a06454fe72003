// Runs commands of ip(8) in one process, and finds out which of them failed.
import { CommandError } from '../../errors.ts';
import type { System } from '../../system/system.ts';

/** Results of a batch, by the commands' places. */
export interface BatchResult {
  readonly done: number[];
  readonly failed: { readonly index: number; readonly error: Error }[];
  readonly skipped: number[];
}

/**
 * The characters that a batch does not read as they are (getcmdline and makeargs of iproute2's lib/utils.c): comments,
 * quotes, escapes. The kernel allows them in names of links.
 */
const special = /[#"'\\]/;

/**
 * Runs commands in their order. `ip -batch` ends at the first that fails; with `onFailure` 'continue' the
 * rest is run by another process. (`ip -force -batch` would continue by itself, but reports failures only as
 * text between other output.)
 */
export async function runIpBatch(
  { run }: Pick<System, 'run'>,
  commands: readonly string[],
  onFailure: 'stop' | 'continue',
): Promise<BatchResult> {
  const result: BatchResult = { done: [], failed: [], skipped: [] };
  for (let first = 0; first < commands.length; ) {
    const end = endOfPart(commands, first);
    const error = await runUntilFailure(run, commands.slice(first, end));
    if (error === null) {
      result.done.push(...indices(first, end));
      first = end;
      continue;
    }
    const line = end === first + 1 ? 1 : failedLine(error.stderr);
    if (line === null) {
      // Which of the commands took effect is unknown.
      result.failed.push(...indices(first, commands.length).map(index => ({ index, error })));
      return result;
    }
    const index = first + line - 1;
    result.done.push(...indices(first, index));
    result.failed.push({ index, error: describeFailure(error, commands[index] ?? '') });
    first = index + 1;
    if (onFailure === 'stop') {
      result.skipped.push(...indices(first, commands.length));
      return result;
    }
  }
  return result;
}

/** Returns where the commands end that one process runs: a command with special characters has its own. */
function endOfPart(commands: readonly string[], first: number): number {
  const next = commands.findIndex((command, index) => index >= first && special.test(command));
  if (next === -1) return commands.length;
  return next === first ? first + 1 : next;
}

async function runUntilFailure(
  run: System['run'],
  commands: readonly string[],
): Promise<CommandError | null> {
  try {
    const [first = ''] = commands;
    if (special.test(first)) await run('ip', first.split(' '));
    else await run('ip', ['-batch', '-'], { input: commands.map(command => `${command}\n`).join('') });
    return null;
  } catch (error) {
    if (error instanceof CommandError && error.reason === 'failed') return error;
    throw error;
  }
}

/** Reads the number of the failed line, from 1: `Command failed -:3` (do_batch in iproute2's lib/utils.c). */
function failedLine(stderr: string): number | null {
  const [, line] = /^Command failed -:(\d+)$/m.exec(stderr) ?? [];
  return line === undefined ? null : Number(line);
}

function describeFailure(cause: CommandError, command: string): CommandError {
  const [reason = ''] = cause.stderr
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('Command failed'));
  const { reason: failure, exitCode, stderr } = cause;
  return new CommandError(`ip ${command}: ${reason}`, { reason: failure, exitCode, stderr, cause });
}

function indices(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, offset) => from + offset);
}
