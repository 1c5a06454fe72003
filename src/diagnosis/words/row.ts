// The form of the tables of words: for each kind of detail its sentence and, where there is one, its command.
import type { Detail, DetailKind } from '../details.ts';
import type { Fix } from '../finding.ts';

interface Row<D> {
  readonly seen: (detail: D) => string;
  /** Returns null where no command can be given, for example because a hostile name would be part of it. */
  readonly fix?: (detail: D) => Fix | null;
}

/** A row for each of these kinds: a missing one does not compile. */
export type Words<K extends DetailKind> = { readonly [Each in K]: Row<Detail<Each>> };

/** Returns a command that repairs the failure; null where there is none. */
export function repairs(command: string): Fix;
export function repairs(command: string | null): Fix | null;
export function repairs(command: string | null): Fix | null {
  return command === null ? null : { command, mends: true, ours: false };
}

/** Returns a command that shows more about a finding, where the repair needs a decision; null where there is none. */
export function showsMore(command: string): Fix;
export function showsMore(command: string | null): Fix | null;
export function showsMore(command: string | null): Fix | null {
  return command === null ? null : { command, mends: false, ours: false };
}

/** Returns a command that does either. */
export function fixBy({ command, mends }: Pick<Fix, 'command' | 'mends'>): Fix {
  return mends ? repairs(command) : showsMore(command);
}

/** Returns a command for a repair that `virlan doctor --fix` makes too. */
export function virlanRepairs(command = 'virlan up'): Fix {
  return { command, mends: true, ours: true };
}
