// Makes the events of a change of a network from the outcome of its steps. Pure.
import type { NetworkConfig } from '../config/config.ts';
import type { RefusedForward } from '../forwards/problem.ts';
import type { Established } from '../network/established.ts';
import type { ChangedForwards } from '../network/forwards.ts';
import { groupByUnit } from '../network/steps/group-by-unit.ts';
import type { NetworkEvent } from './event.ts';

/** Returns the events of a change: the change if a step took effect, then failures and warnings. */
export function changeEvents(
  { name, bridge }: Pick<NetworkConfig, 'name' | 'bridge'>,
  kind: 'network-established' | 'network-repaired' | 'network-taken-down',
  { done, failed, warnings, refused }: Established,
): NetworkEvent[] {
  // Elements of the guard come and go with machines.
  const told = done.filter(step => step.kind !== 'change guard');
  const units = groupByUnit(bridge, told).map(({ unit }) => unit);
  return [
    ...(told.length === 0 ? [] : [{ kind, network: name, done: told, units }]),
    ...failed.map(each => ({ kind: 'step-failed', network: name, failed: each }) as const),
    // Refused forwards have events of their own, so that each is logged once, however often the host is compared.
    ...warnings
      .filter(warning => warning.kind !== 'forward-refused')
      .map(warning => ({ kind: 'network-warning', network: name, warning }) as const),
    ...refusalEvents(name, refused),
  ];
}

/** Returns the events of a change of forwards alone. */
export function forwardEvents(
  { name }: Pick<NetworkConfig, 'name'>,
  { done, failed, refused }: ChangedForwards,
): NetworkEvent[] {
  return [
    ...(done.length === 0 ? [] : [{ kind: 'forwards-changed', network: name, done } as const]),
    ...failed.map(each => ({ kind: 'step-failed', network: name, failed: each }) as const),
    ...refusalEvents(name, refused),
  ];
}

function refusalEvents(network: string, refused: readonly RefusedForward[]): NetworkEvent[] {
  return refused.map(each => ({ kind: 'forward-refused', network, refused: each }));
}
