// Records which rules a step has loaded or removed, and what the kernel lists afterwards: any later difference is
// drift.
import { backends } from '../firewall/backends.ts';
import { createRulesReader } from '../firewall/rules-reader.ts';
import { listGuard } from '../guard/table.ts';
import { system } from '../system/system.ts';
import { type AppliedRecord, readApplied, writeApplied } from './records/applied-record.ts';
import type { Step, StepName, StepOf } from './steps/steps.ts';

type Recorder<Name extends StepName> = (step: StepOf<Name>) => Promise<void> | void;

/** By kind of step that changes rules: its record. */
const recorders: { readonly [Name in StepName]?: Recorder<Name> } = {
  async 'load rules'(step) {
    const { backend, family, script } = step;
    recordRulesOf(step, [{ backend, family, script, listing: await listLoaded(step) }]);
  },
  'remove rules': step => recordRulesOf(step, []),
  async 'load guard'({ bridge, guard: { table } }) {
    const { lines } = await listGuard(system, bridge);
    writeApplied(bridge, { ...readApplied(bridge), guard: { table, listing: [...lines] } });
  },
  'remove guard': ({ bridge }) => writeApplied(bridge, { ...readApplied(bridge), guard: null }),
  async 'connect tunnel'({ bridge, tunnel: { filter } }) {
    const { listFilter } = await import('./tunnel/tunnel.ts');
    const tunnel = { filter, listing: await listFilter(bridge) };
    writeApplied(bridge, { ...readApplied(bridge), tunnel });
  },
  'remove tunnel filter': ({ bridge }) => writeApplied(bridge, { ...readApplied(bridge), tunnel: null }),
};

/** Returns whether a step changes rules that are recorded. */
export function changesRules({ kind }: Step): boolean {
  return recorders[kind] !== undefined;
}

/** Records what the kernel lists after a step. Throws CommandError and WriteError. */
export async function recordRules<Name extends StepName>(step: StepOf<Name> & Step): Promise<void> {
  const recorder: Recorder<Name> | undefined = recorders[step.kind as Name];
  await recorder?.(step);
}

/** Records the rules of one backend and family in the place of those that were recorded. */
function recordRulesOf(
  { bridge, backend, family }: StepOf<'remove rules'> | StepOf<'load rules'>,
  loaded: AppliedRecord['rules'],
): void {
  const applied = readApplied(bridge);
  const others = applied.rules.filter(rules => rules.backend !== backend || rules.family !== family);
  writeApplied(bridge, { ...applied, rules: [...others, ...loaded] });
}

/**
 * Returns the listing; none when another program removed rules meanwhile, so that the next comparison sees
 * drift.
 */
async function listLoaded({ backend, family, bridge, script }: StepOf<'load rules'>): Promise<string[]> {
  const { list, countRules } = backends[backend];
  const { lines } = await list(createRulesReader(system), { bridge, family });
  return countRules(lines) < countRules(script.split('\n')) ? [] : [...lines];
}
