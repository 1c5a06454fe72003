// The checklist of the doctor, as its lines arrive: `virlan doctor --json --follow`. Pure.
import type { Fix } from '../../../../src/diagnosis/finding.ts';

/** A check. Its texts may be hostile. */
export interface CheckItem {
  readonly about: string;
  readonly check: string;
  readonly state: 'ok' | 'warn' | 'fail' | 'skipped';
  readonly seen: string;
  readonly fix: Fix | null;
}

export interface Checklist {
  readonly checks: readonly CheckItem[];
  /** Null while checks are being made. */
  readonly result: { readonly well: boolean; readonly repaired: readonly string[] } | null;
  /** The beginning of a line whose end has not arrived. */
  readonly rest: string;
}

export const emptyChecklist: Checklist = { checks: [], result: null, rest: '' };

interface Line {
  readonly checks: readonly CheckItem[];
  /** Only in the last line. */
  readonly well?: boolean;
  readonly mended?: readonly { readonly seen: string }[];
}

/** Returns the checklist with the lines that have arrived. The last line has all checks, in their order. */
export function addLines(list: Checklist, text: string): Checklist {
  const lines = `${list.rest}${text}`.split('\n');
  const rest = lines.pop() ?? '';
  let { checks, result } = list;
  for (const line of lines.filter(each => each !== '')) {
    const made: Line = JSON.parse(line);
    if (made.well === undefined) checks = replaceSubject(checks, made.checks);
    else {
      checks = made.checks;
      result = { well: made.well, repaired: (made.mended ?? []).map(({ seen }) => seen) };
    }
  }
  return { checks, result, rest };
}

/** After `--fix` the checks of a subject arrive a second time. */
function replaceSubject(before: readonly CheckItem[], checks: readonly CheckItem[]): CheckItem[] {
  const subjects = new Set(checks.map(({ about }) => about));
  return [...before.filter(({ about }) => !subjects.has(about)), ...checks];
}

/** Returns the checks by subject, in the order in which they came. */
export function bySubject(checks: readonly CheckItem[]): [about: string, checks: CheckItem[]][] {
  const groups = new Map<string, CheckItem[]>();
  for (const check of checks) groups.set(check.about, [...(groups.get(check.about) ?? []), check]);
  return [...groups];
}
