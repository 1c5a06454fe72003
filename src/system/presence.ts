// Notices that a process has ended or was stopped, at little cost, by its state in /proc (proc(5),
// /proc/pid/stat): "1234 (dnsmasq) S 1 …".
import { closeSync, openSync, readSync } from 'node:fs';

/** More than the beginning of the file has: a name of 16 characters at most, and the state behind it. */
const maxBytes = 64;

/** The states of a process that does not run: stopped, zombie, dead. */
const notRunning = ['T', 'Z', 'X'];

/**
 * Looks whether processes still run, each by a file that stays open: it is of this process, and of no later one
 * of the same number.
 */
export class Presence {
  readonly #find: (name: string) => number | null;
  /** By name: the descriptor of the process's file. */
  readonly #files = new Map<string, number>();
  readonly #buffer = Buffer.alloc(maxBytes);

  /** `find` returns the process of a name, and is called only while none is known to run. */
  constructor(find: (name: string) => number | null) {
    this.#find = find;
  }

  /** Returns whether the process of a name runs. */
  isRunning(name: string): boolean {
    const file = this.#files.get(name) ?? this.#open(name);
    if (file === null) return false;
    if (!notRunning.includes(this.#readState(file))) return true;
    closeSync(file);
    this.#files.delete(name);
    return false;
  }

  #open(name: string): number | null {
    const pid = this.#find(name);
    if (pid === null) return null;
    try {
      const file = openSync(`/proc/${pid}/stat`, 'r');
      this.#files.set(name, file);
      return file;
    } catch {
      // It has ended meanwhile.
      return null;
    }
  }

  #readState(file: number): string {
    try {
      const text = this.#buffer.toString('latin1', 0, readSync(file, this.#buffer, 0, maxBytes, 0));
      return text.charAt(text.lastIndexOf(')') + 2);
    } catch {
      // ESRCH: it has ended.
      return 'X';
    }
  }
}
