// The output of `virlan plan --json` as a list of changes. Pure.

export interface Change {
  readonly sign: '+' | '~' | '-';
  /** In one line, with the sign in front. It may be hostile. */
  readonly text: string;
  readonly lines: readonly string[];
}

export interface ChangeGroup {
  readonly title: string;
  readonly changes: readonly Change[];
}

/** Returns the groups that have changes. Throws for output that is not a plan. */
export function readPlan(output: string): ChangeGroup[] {
  const { changes: _, ...groups }: Record<string, readonly Change[]> = JSON.parse(output);
  return Object.entries(groups)
    .map(([title, changes]) => ({ title, changes: [...changes] }))
    .filter(({ changes }) => changes.length > 0);
}
