// Groups the steps of a plan by repair unit. Pure.

import { sysctlName } from '../kernel/sysctl.ts';
import { type Step, type StepName, type StepOf, unitOfStep } from './steps.ts';
import { type Unit, unitKey } from './units.ts';

/**
 * Groups the steps of a plan by repair unit. While the bridge does not exist, all steps for it are one unit. Each
 * port that returns or comes up is a unit, and STP is part of all of these, because it starts after them. While
 * rules are missing, forwards are part of theirs.
 */
export function groupByUnit(bridge: string, steps: readonly Step[]): { unit: Unit; steps: Step[] }[] {
  const isNew = steps.some(step => step.kind === 'add bridge');
  const starting = [...new Set(steps.flatMap(step => startedPort(bridge, step) ?? []))];
  const unitsOf = (step: Step): Unit[] => {
    // Without their rules there is no place for forwards.
    const rules = step.kind === 'change forwards' ? loadOf(step, steps) : undefined;
    if (rules !== undefined) return [unitOfStep(rules, bridge)];
    if (isNew && goesOntoBridge(bridge, step)) return [{ kind: 'bridge', bridge }];
    if (step.kind !== 'set link') return [unitOfStep(step, bridge)];
    const ports = step.attribute === 'stp' ? starting : starting.filter(link => link === step.link);
    return ports.length === 0 ? [unitOfStep(step, bridge)] : ports.map(link => ({ kind: 'port', link }));
  };
  const groups = new Map<string, { unit: Unit; steps: Step[] }>();
  for (const step of steps) {
    for (const unit of unitsOf(step)) {
      const key = unitKey(unit);
      const group = groups.get(key) ?? { unit, steps: [] };
      group.steps.push(step);
      groups.set(key, group);
    }
  }
  return [...groups.values()];
}

/** Returns the step that loads the rules which forwards need. */
function loadOf({ backend }: StepOf<'change forwards'>, steps: readonly Step[]) {
  return steps.find(
    (step): step is StepOf<'load rules'> =>
      step.kind === 'load rules' && step.backend === backend && step.family === 'ipv4',
  );
}

/** The kinds of step that make a bridge. */
const ofNewBridge: readonly StepName[] = [
  'add bridge',
  'add dummy',
  'add address',
  'set link',
  'add entry',
  'filter vlans',
  'set vlans',
];

function goesOntoBridge(bridge: string, step: Step): boolean {
  return (
    ofNewBridge.includes(step.kind) ||
    (step.kind === 'set sysctl' && step.key.includes(`.${sysctlName(bridge)}.`))
  );
}

/** Returns the port that a step lets forward frames; null for another step. */
function startedPort(bridge: string, step: Step): string | null {
  if (step.kind !== 'set link' || step.link === bridge || step.to === null) return null;
  return step.attribute === 'bridge' || step.attribute === 'state' ? step.link : null;
}
