// Groups the steps of a plan by repair unit. Pure.
import { type Step, unitOfStep } from './steps.ts';
import { sysctlName } from './sysctl.ts';
import { type Unit, unitKey } from './units.ts';

/**
 * Groups the steps of a plan by repair unit. While the bridge does not exist, all steps for it are one
 * unit. While ports return or come up, STP is part of their unit, because it starts after them.
 */
export function groupByUnit(bridge: string, steps: readonly Step[]): { unit: Unit; steps: Step[] }[] {
  const isNew = steps.some(step => step.kind === 'add bridge');
  const portsStart = steps.some(step => startsPort(bridge, step));
  const unitOf = (step: Step): Unit => {
    if (isNew && goesOntoBridge(bridge, step)) return { kind: 'bridge', bridge };
    if (portsStart && (changesPort(bridge, step) || isStp(step))) return { kind: 'ports', bridge };
    return unitOfStep(step, bridge);
  };
  const groups = new Map<string, { unit: Unit; steps: Step[] }>();
  for (const step of steps) {
    const unit = unitOf(step);
    const key = unitKey(unit);
    const group = groups.get(key) ?? { unit, steps: [] };
    group.steps.push(step);
    groups.set(key, group);
  }
  return [...groups.values()];
}

function goesOntoBridge(bridge: string, step: Step): boolean {
  return (
    ['add bridge', 'add dummy', 'add address', 'set link'].includes(step.kind) ||
    (step.kind === 'set sysctl' && step.key.includes(`.${sysctlName(bridge)}.`))
  );
}

function startsPort(bridge: string, step: Step): boolean {
  if (step.kind !== 'set link' || step.link === bridge) return false;
  return (step.attribute === 'bridge' || step.attribute === 'state') && step.to !== null;
}

function changesPort(bridge: string, step: Step): boolean {
  return step.kind === 'set link' && step.link !== bridge;
}

function isStp(step: Step): boolean {
  return step.kind === 'set link' && step.attribute === 'stp';
}
