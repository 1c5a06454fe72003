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
    await takeLock(path, file, waitSeconds);
    return await work();
  } finally {
    closeSync(file);
  }
}

async function takeLock(path: string, file: number, waitSeconds: number): Promise<void> {
  // 2 ms to load, which a hook that needs no lock saves.
  const { spawn } = await import('node:child_process');
  const args = ['--exclusive', '--wait', String(waitSeconds), '3'];
  const flock = spawn('flock', args, {
    stdio: ['ignore', 'ignore', 'pipe', file],
    env: { PATH: systemPath },
  });
  let said = '';
  flock.stderr?.on('data', chunk => {
    said += chunk;
  });
  const status = await new Promise<number | null>((resolve, reject) => {
    flock.on('error', error =>
      reject(new Error(`flock is not on this host: install util-linux (${error.message})`)),
    );
    flock.on('close', resolve);
  });
  if (status === 1 && said === '') {
    throw new LockTimeout(
      `${path} was held by another virlan for ${waitSeconds} s: see who with "fuser ${path}"`,
    );
  }
  if (status !== 0) throw new Error(`flock on ${path}: ${said.trim()}`);
}
