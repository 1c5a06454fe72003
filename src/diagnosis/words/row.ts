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

/** A command that repairs the failure. */
export function repairs(command: string): Fix {
  return { command, mends: true, ours: false };
}

/** A command that shows more about a finding, whose repair is a matter of judgement. */
export function showsMore(command: string): Fix {
  return { command, mends: false, ours: false };
}

/** A repair that `virlan doctor --fix` makes. */
export function virlanRepairs(command = 'virlan up'): Fix {
  return { command, mends: true, ours: true };
}
