// Makes the events of a change of a network from the outcome of its steps. Pure.
import type { NetworkConfig } from '../config/config.ts';
import type { Established } from '../network/establish.ts';
import { groupByUnit } from '../network/group-by-unit.ts';
import type { NetworkEvent } from './event.ts';

/** Returns the events of a change: the change if a step took effect, then failures and warnings. */
export function changeEvents(
  { name, bridge }: Pick<NetworkConfig, 'name' | 'bridge'>,
  kind: 'network-established' | 'network-repaired' | 'network-taken-down',
  { done, failed, warnings }: Established,
): NetworkEvent[] {
  const units = groupByUnit(bridge, done).map(({ unit }) => unit);
  return [
    ...(done.length === 0 ? [] : [{ kind, network: name, done, units }]),
    ...failed.map(each => ({ kind: 'step-failed', network: name, failed: each }) as const),
    ...warnings.map(warning => ({ kind: 'network-warning', network: name, warning }) as const),
  ];
}
