// The page's connection to the watcher: its states, and the lines that arrive on it. Pure.
import type { Status } from '../../../../src/report/status.ts';

/** Why there is no status. */
export type Absence =
  | { readonly kind: 'connecting' }
  /** The session may not act as root. */
  | { readonly kind: 'no-privileges' }
  /** virlan's watcher does not run, or is of a version without the stream. */
  | { readonly kind: 'no-watcher' }
  /** The watcher runs, and cannot read the status. */
  | { readonly kind: 'unreadable'; readonly reason: string }
  | { readonly kind: 'failed'; readonly reason: string };

export interface Connection {
  /** The last status; null before the first. */
  readonly status: Status | null;
  /** Null while the status is followed. */
  readonly absence: Absence | null;
}

export const notYet: Connection = { status: null, absence: { kind: 'connecting' } };

/** Returns why a request ended: `problem` is a code of Cockpit's, null for an orderly end. */
export function absenceOf(problem: string | null, message: string): Absence {
  switch (problem) {
    case 'access-denied':
    case 'authentication-failed':
      return { kind: 'no-privileges' };
    case null:
    case 'not-found':
    case 'disconnected':
    case 'terminated':
      return { kind: 'no-watcher' };
  }
  return { kind: 'failed', reason: message };
}

/** Splits the stream into its lines. */
export class StatusLines {
  #rest = '';

  /** Returns the newest line that is complete, as a connection; null if none is. */
  push(text: string): Connection | null {
    const lines = `${this.#rest}${text}`.split('\n');
    this.#rest = lines.pop() ?? '';
    const newest = lines.at(-1);
    if (newest === undefined) return null;
    const line: Status | { readonly error: string } = JSON.parse(newest);
    return 'error' in line
      ? { status: null, absence: { kind: 'unreadable', reason: line.error } }
      : { status: line, absence: null };
  }
}
