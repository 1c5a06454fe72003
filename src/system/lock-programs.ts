// The programs that locks need once after the host booted, after a holder was killed, and beside an earlier
// version of virlan. A file of its own, because a machine's start seldom needs it.
import { existsSync, mkdtempSync, rmdirSync } from 'node:fs';
import type { ExecaError } from 'execa';
import { CommandError, VirlanError } from '../errors.ts';

/**
 * flock(1) ends with it when the lock is not free in time; its errors are those of sysexits.h, from 64 on.
 */
const lockHeldExitCode = 1;

/** Another process held the lock of a file for all of the time allowed. */
export class FlockTimeout extends VirlanError {
  static override readonly label = 'FlockTimeout';

  constructor(lockTimeoutSeconds: number, cause: unknown) {
    super('lock-timeout', `another process held a flock for ${lockTimeoutSeconds} s`, { cause });
  }
}

/** Makes a FIFO for root alone. One that another process made meanwhile is as good. */
export async function makeFifo(path: string): Promise<void> {
  const { startProgram } = await import('./execa.ts');
  try {
    await startProgram('mkfifo', ['-m', '600', path], { stdin: 'ignore', stdout: 'ignore' });
  } catch (cause) {
    if (existsSync(path)) return;
    // Making a file fails for the same reason, with a code in place of mkfifo's text.
    rmdirSync(mkdtempSync(path));
    throw failure('mkfifo', 'coreutils', cause as ExecaError);
  }
}

/**
 * Takes the lock of an open file. Node cannot flock(2), so flock(1) does it on a file that it inherits: the
 * lock belongs to that open file, which this process still holds when flock(1) has ended. Throws FlockTimeout.
 */
export async function flock(file: number, lockTimeoutSeconds: number): Promise<void> {
  const { startProgram } = await import('./execa.ts');
  const args = ['--exclusive', '--wait', String(lockTimeoutSeconds), '0'];
  try {
    // execa's types know the descriptors up to 9 only.
    await startProgram('flock', args, { stdin: file as 3, stdout: 'ignore', stderr: 'inherit' });
  } catch (cause) {
    const error = cause as ExecaError;
    if (error.exitCode === lockHeldExitCode) throw new FlockTimeout(lockTimeoutSeconds, cause);
    throw failure('flock', 'util-linux', error);
  }
}

function failure(program: string, packageName: string, cause: ExecaError): CommandError {
  const { code, exitCode = null, signal } = cause;
  // flock writes to this process's standard error, mkfifo to a pipe.
  const stderr = typeof cause.stderr === 'string' ? cause.stderr : '';
  const details = { exitCode, stderr, cause };
  if (code === 'ENOENT') {
    const message = `${program} is not on this host: install ${packageName}`;
    return new CommandError(message, { reason: 'missing', ...details });
  }
  const reason = exitCode === null ? 'killed' : 'failed';
  const ended = `${program} ended with ${exitCode ?? signal}`;
  return new CommandError(stderr === '' ? ended : `${ended}: ${stderr}`, { reason, ...details });
}
