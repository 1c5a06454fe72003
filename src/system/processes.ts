// Reads /proc about other processes, which may end meanwhile.
import { readlinkSync } from 'node:fs';
import { isMissing, listDirectory } from './files.ts';

/** Returns the numbers of all processes that are visible here, those in containers included. */
export function processIds(): number[] {
  return listDirectory('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number);
}

/** Returns whether one of these programs runs on this host, be its file replaced by an upgrade since. */
export function isRunning(programs: readonly string[]): boolean {
  return processIds().some(pid => {
    const program = programOf(pid)?.replace(/ \(deleted\)$/, '');
    return program !== undefined && programs.includes(program) && isOnThisHost(pid);
  });
}

/** Returns the path of a process's program; null where it has none, or may not be read. */
function programOf(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return null;
  }
}

/**
 * Returns whether a process is in this host's network namespace: processes in containers are visible in /proc
 * too.
 */
export function isOnThisHost(pid: number): boolean {
  return ofProcess(() => readlinkSync(`/proc/${pid}/ns/net`)) === readlinkSync('/proc/self/ns/net');
}

/** Sends a signal to a process. Returns false when it has ended. */
export function sendSignal(pid: number, signal: NodeJS.Signals): boolean {
  return ofProcess(() => process.kill(pid, signal)) !== null;
}

/** Returns what `read` returns; null when the process has ended. */
export function ofProcess<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (hasNoProcess(error)) return null;
    throw error;
  }
}

/** Returns whether an error of reading below /proc means that the process has ended. */
export function hasNoProcess(error: unknown): boolean {
  return isMissing(error) || (error as NodeJS.ErrnoException).code === 'ESRCH';
}
