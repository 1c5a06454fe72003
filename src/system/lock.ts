// Locks between processes, by flock(2).
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import type { ExecaError } from 'execa';
import { CommandError, VirlanError } from '../errors.ts';

/** Another process held the lock for all of the time allowed. */
export class LockTimeout extends VirlanError {
  override readonly name = 'LockTimeout';

  constructor(path: string, lockTimeoutSeconds: number, cause: unknown) {
    const held = `${path} was held by another virlan for ${lockTimeoutSeconds} s`;
    super('lock-timeout', `${held}: see which process with "fuser ${path}"`, { cause });
  }
}

/**
 * flock(1) ends with it when the lock is not free in time; its errors are those of sysexits.h, from 64 on.
 */
const lockHeldExitCode = 1;

/**
 * Runs `work` while no other process does so with the same lock file, and returns its result. Node cannot
 * flock(2), so flock(1) takes the lock on a file that it inherits: the lock belongs to that open file, which
 * this process still holds when flock(1) has ended, and the kernel releases it when this process ends,
 * however it ends. Throws LockTimeout.
 */
export async function withLock<T>(
  path: string,
  lockTimeoutSeconds: number,
  work: () => T | Promise<T>,
): Promise<T> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const file = openSync(path, 'a', 0o600);
  try {
    await takeLock(path, file, lockTimeoutSeconds);
    return await work();
  } finally {
    closeSync(file);
  }
}

async function takeLock(path: string, file: number, lockTimeoutSeconds: number): Promise<void> {
  const { startProgram } = await import('./execa.ts');
  const args = ['--exclusive', '--wait', String(lockTimeoutSeconds), '0'];
  try {
    // execa's types know the descriptors up to 9 only. stderr is inherited because a pipe for it takes 4 ms,
    // and a machine's start waits.
    await startProgram('flock', args, { stdin: file as 3, stdout: 'ignore', stderr: 'inherit' });
  } catch (cause) {
    const { code, exitCode = null, signal } = cause as ExecaError;
    if (exitCode === lockHeldExitCode) throw new LockTimeout(path, lockTimeoutSeconds, cause);
    const details = { exitCode, stderr: '', cause };
    if (code === 'ENOENT')
      throw new CommandError('flock is not on this host: install util-linux', {
        reason: 'missing',
        ...details,
      });
    const outcome = `flock on ${path} ended with ${exitCode ?? signal}`;
    throw new CommandError(outcome, { reason: exitCode === null ? 'killed' : 'failed', ...details });
  }
}
