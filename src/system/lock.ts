// Locks between processes, taken without running a program, because a machine's start waits for one:
//   /run/virlan/ledger.lock.fifo             a FIFO; the holder of the lock has it open for reading
//   /run/virlan/ledger.lock.holder -> 1234   there while the lock is held, by this process
//   /run/virlan/ledger.lock.takeover         flock(2) on it is held by who removes the link of a dead holder
//   /run/virlan/ledger.lock                  the lock of earlier versions, by flock(2): lock-programs.ts
// While /run has no room for a new file, they are in /var/lib/virlan. Only one process can make the link. The
// kernel closes the FIFO when its holder ends, however it ends, and a FIFO that nobody reads cannot be opened for
// writing without waiting: a link beside such a FIFO is of a holder that has died. Any user could take the name of
// an abstract socket; these files are in a directory of root's.
import { closeSync, constants, existsSync, mkdirSync, openSync, rmSync, symlinkSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { isOutOfSpace } from './file-errors.ts';
import { isMissing } from './files.ts';
import { fifoPath, holderOf, holderPath, LockTimeout } from './lock-files.ts';
import { paths } from './paths.ts';

export { LockTimeout };

/** A lock that is held: where its files are, and the descriptors to close when it is released. */
interface Held {
  readonly path: string;
  readonly fifo: number;
  /** Of the lock of earlier versions; null on a host without. */
  readonly earlier: number | null;
}

/**
 * Runs `work` while no other process does so with the same lock, nor another call in this process, and returns
 * its result. The kernel releases the lock when this process ends, however it ends. Throws LockTimeout when another
 * process holds it for `lockTimeoutSeconds`. Where no file system has room for a lock, runs `work` without one: a host
 * without a network would be worse, and `work` itself says what cannot be written.
 */
export async function withLock<T>(
  path: string,
  lockTimeoutSeconds: number,
  work: () => T | Promise<T>,
): Promise<T> {
  const held =
    (await takeWhereRoomIs(path, lockTimeoutSeconds)) ??
    (await takeWhereRoomIs(`${dirname(paths.originalState)}/${basename(path)}`, lockTimeoutSeconds));
  try {
    return await work();
  } finally {
    if (held !== null) release(held);
  }
}

/** Takes the lock with this path; returns null when its directory has no room for the files of a lock. */
async function takeWhereRoomIs(path: string, lockTimeoutSeconds: number): Promise<Held | null> {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const fifo = await take(path, lockTimeoutSeconds);
    try {
      return { path, fifo, earlier: existsSync(path) ? await takeEarlier(path, lockTimeoutSeconds) : null };
    } catch (error) {
      release({ path, fifo, earlier: null });
      throw error;
    }
  } catch (error) {
    if (isOutOfSpace(error)) return null;
    throw error;
  }
}

/** Returns the descriptor that holds the lock. */
async function take(path: string, lockTimeoutSeconds: number): Promise<number> {
  const fifo = await tryToTake(path);
  if (fifo !== null) return fifo;
  // Loaded only when the lock is held.
  const { takeWhenFree } = await import('./lock-wait.ts');
  const taken = await takeWhenFree(path, lockTimeoutSeconds, tryToTake);
  if (taken === null) throw new LockTimeout(path, lockTimeoutSeconds, holderOf(path));
  return taken;
}

/** Returns the descriptor that holds the lock; null when another one holds it. */
async function tryToTake(path: string): Promise<number | null> {
  // Nobody has the FIFO open for longer than a try without holding the lock: it would be taken for a holder.
  if (holderOf(path) !== null) return null;
  // Before the link exists, so that there is no link of a living holder beside a FIFO that nobody reads.
  const fifo = await openFifo(path);
  try {
    symlinkSync(String(process.pid), holderPath(path));
    return fifo;
  } catch (error) {
    closeSync(fifo);
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return null;
    throw error;
  }
}

function release({ path, fifo, earlier }: Held): void {
  try {
    if (earlier !== null) closeSync(earlier);
    rmSync(holderPath(path), { force: true });
  } finally {
    closeSync(fifo);
  }
}

async function openFifo(path: string): Promise<number> {
  // With O_NONBLOCK, opening a FIFO does not wait for a writer.
  const open = () => openSync(fifoPath(path), constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    return open();
  } catch (error) {
    if (!isMissing(error)) throw error;
    const { makeFifo } = await import('./lock-programs.ts');
    await makeFifo(fifoPath(path));
    return open();
  }
}

/** Takes the lock of earlier versions. Loaded only when needed: hardly any host has one. */
async function takeEarlier(path: string, lockTimeoutSeconds: number): Promise<number> {
  const { takeEarlierLock } = await import('./lock-wait.ts');
  const taken = await takeEarlierLock(path, lockTimeoutSeconds);
  if (typeof taken === 'number') return taken;
  throw new LockTimeout(path, lockTimeoutSeconds, null, taken);
}
