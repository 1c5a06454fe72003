import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { systemPath } from './paths.ts';

/** Another process held the lock for all the time there was. */
export class LockTimeout extends Error {
  override readonly name = 'LockTimeout';
}

/**
 * Runs `work` while no other process does so with the same lock file. Node cannot flock(2), so flock(1) takes the lock
 * on a file that it inherits: the lock belongs to that open file, which this process still holds when flock(1) has
 * ended, and the kernel lets go of it when this process dies in whatever way. Throws LockTimeout.
 */
export async function withLock<T>(path: string, waitSeconds: number, work: () => T | Promise<T>): Promise<T> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const file = openSync(path, 'a', 0o600);
  try {
    const flock = spawnSync('flock', ['--exclusive', '--wait', String(waitSeconds), '3'], {
      stdio: ['ignore', 'ignore', 'pipe', file],
      env: { PATH: systemPath },
      encoding: 'utf8',
    });
    if (flock.error !== undefined)
      throw new Error(`flock is not on this host: install util-linux (${flock.error.message})`);
    if (flock.status === 1 && flock.stderr === '') {
      throw new LockTimeout(
        `${path} was held by another virlan for ${waitSeconds} s: see who with "fuser ${path}"`,
      );
    }
    if (flock.status !== 0) throw new Error(`flock on ${path}: ${flock.stderr.trim()}`);
    return await work();
  } finally {
    closeSync(file);
  }
}
