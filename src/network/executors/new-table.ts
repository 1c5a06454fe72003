// Steps that make a table of nftables: several tables can be made in one transaction.
import { backends } from '../../firewall/backends.ts';
import { type NewGuard, newGuard } from '../../guard/guard.ts';
import type { Step, StepOf } from '../steps/steps.ts';

/** A table of nftables that a step makes. */
export interface NewTable {
  /** A script for nft, which fails where the table exists. */
  readonly script: string;
  /** Does what the step does after the table is there. Throws CommandError. */
  complete(): Promise<void>;
}

/** Returns the table that a step makes where there is none yet; null for a step that makes none. */
export function newTable(step: Step): NewTable | null {
  if (step.kind === 'load guard') return guardOf(step);
  const script = rulesTable(step);
  return script === null ? null : { script, complete: async () => {} };
}

/** Returns whether a step makes a table, without reading what would be in it. */
export function makesTable(step: Step): boolean {
  return step.kind === 'load guard' || rulesTable(step) !== null;
}

function rulesTable(step: Step): string | null {
  return step.kind === 'load rules' ? backends[step.backend].newTable(step, step.script) : null;
}

/** Returns the table of the guard that a step loads. */
export function guardOf({ bridge, guard: { table, belongings, taps } }: StepOf<'load guard'>): NewGuard {
  return newGuard(bridge, table, [belongings, ...taps.map(({ elements }) => elements)], taps);
}
