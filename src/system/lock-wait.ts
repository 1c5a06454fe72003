// Waits for a lock: takes it from a holder that has died, and beside an earlier version of virlan.
import { closeSync, constants, lstatSync, openSync, rmSync } from 'node:fs';
import { isMissing } from './files.ts';
import { fifoPath, holderPath } from './lock-files.ts';
import { FlockTimeout, flock } from './lock-programs.ts';

/** Pause between two tries to take a lock that is held. A try takes 20 µs. */
const retryMs = 5;

/** Times `lockTimeoutSeconds` that a process waits at most while others hold the lock in turn. */
const maxTimeouts = 6;

/**
 * Takes a lock that another process holds, when it is released or its holder has died; returns what `tryToTake`
 * returns. Returns null when one process has held it for `lockTimeoutSeconds`. Others that hold it in turn make
 * progress, as when fifty machines start at once on a busy host, and are waited for six times as long.
 */
export async function takeWhenFree(
  path: string,
  lockTimeoutSeconds: number,
  tryToTake: (path: string) => Promise<number | null>,
): Promise<number | null> {
  const timeoutMs = lockTimeoutSeconds * 1000;
  const began = performance.now();
  let holder = identityOf(holderPath(path));
  let end = began + timeoutMs;
  for (;;) {
    if (!(await removeDeadHolder(path))) {
      const now = performance.now();
      const current = identityOf(holderPath(path));
      if (current !== holder) {
        holder = current;
        end = Math.min(now + timeoutMs, began + maxTimeouts * timeoutMs);
      }
      if (now >= end) return null;
      await new Promise(resolve => setTimeout(resolve, retryMs));
    }
    const fifo = await tryToTake(path);
    if (fifo !== null) return fifo;
  }
}

/** Removes the link of a holder that has died. Returns whether it did so. */
async function removeDeadHolder(path: string): Promise<boolean> {
  if (deadHolder(path) === null) return false;
  const takeover = openSync(`${path}.takeover`, 'a', 0o600);
  try {
    await flock(takeover, takeoverTimeoutSeconds);
    // Nobody else removes a link but its living holder, or a process that waits for this flock.
    const isDead = deadHolder(path) !== null;
    if (isDead) rmSync(holderPath(path), { force: true });
    return isDead;
  } finally {
    closeSync(takeover);
  }
}

/** Longest wait for a process that removes a link, which takes it a millisecond. */
const takeoverTimeoutSeconds = 5;

/**
 * Returns what tells the link of a dead holder from all others; null when there is none. The link that was
 * there before nobody read the FIFO, and still is there after, had no living holder in between.
 */
function deadHolder(path: string): string | null {
  const before = identityOf(holderPath(path));
  return before !== null && !isRead(fifoPath(path)) && identityOf(holderPath(path)) === before
    ? before
    : null;
}

/** Returns whether a process has a FIFO open for reading. */
function isRead(fifo: string): boolean {
  try {
    closeSync(openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENXIO' || isMissing(error)) return false;
    throw error;
  }
}

function identityOf(path: string): string | null {
  try {
    const { ino, ctimeNs } = lstatSync(path, { bigint: true });
    return `${ino} ${ctimeNs}`;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/**
 * Takes the lock of earlier versions where one of them has run since the host booted: it may still run, in a
 * hook. Returns the descriptor that holds it.
 */
export async function takeEarlierLock(
  path: string,
  lockTimeoutSeconds: number,
): Promise<number | FlockTimeout> {
  const file = openSync(path, 'a', 0o600);
  try {
    await flock(file, lockTimeoutSeconds);
    return file;
  } catch (error) {
    closeSync(file);
    if (error instanceof FlockTimeout) return error;
    throw error;
  }
}
