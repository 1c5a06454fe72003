// The files of a lock: see lock.ts.
import { readlinkSync } from 'node:fs';
import { VirlanError } from '../errors.ts';
import { isMissing } from './files.ts';

/** Returns the number of the process that holds a lock; null when the lock is free. */
export function holderOf(path: string): string | null {
  try {
    return readlinkSync(holderPath(path));
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** Returns the path of the FIFO that a holder has open. */
export function fifoPath(path: string): string {
  return `${path}.fifo`;
}

/** Returns the path of the link that names the holder. */
export function holderPath(path: string): string {
  return `${path}.holder`;
}

/** Other processes held the lock for longer than is waited for. */
export class LockTimeout extends VirlanError {
  static override readonly label = 'LockTimeout';

  readonly path: string;
  /** The number of the process that holds the lock; null if that is not known. */
  readonly holder: string | null;

  constructor(path: string, lockTimeoutSeconds: number, holder: string | null, cause?: unknown) {
    const held = `${path} was held by another virlan for ${lockTimeoutSeconds} s`;
    const command = holder === null ? `fuser ${path}` : `ps -f ${holder}`;
    super('lock-timeout', `${held}: see which process with "${command}"`, { cause });
    this.path = path;
    this.holder = holder;
  }
}
