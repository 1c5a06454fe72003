// Establishes a network as far as possible, for hooks and repairs.
import type { NetworkConfig } from '../config/config.ts';
import { isEstablished } from '../network/applied-record.ts';
import { establishWhatWorks, withNetworkLock } from '../network/establish.ts';
import { groupByUnit, type Step } from '../network/steps.ts';
import type { Unit } from '../network/units.ts';
import type { NetworkEvent } from '../report/event.ts';
import { changeEvents } from '../report/network-events.ts';

/** Establishes a network as far as possible. Failures are events. */
export async function establishForHook(
  network: NetworkConfig,
  lockTimeoutSeconds?: number,
): Promise<NetworkEvent[]> {
  try {
    const work = () => establishWhatWorks(network, steps => steps);
    const established = await withNetworkLock(work, lockTimeoutSeconds);
    return changeEvents(network, 'network-established', established);
  } catch (error) {
    return [{ kind: 'network-failed', network: network.name, error: error as Error }];
  }
}

/** The result of a repair: events, and the units that needed it, whether or not it succeeded. */
export interface Repair {
  readonly events: readonly NetworkEvent[];
  readonly units: readonly Unit[];
}

/**
 * Repairs those units of an established network that `mayRepair` allows. A network that was taken down stays
 * down.
 */
export async function repairNetwork(
  network: NetworkConfig,
  mayRepair: (unit: Unit) => boolean,
): Promise<Repair> {
  const { bridge } = network;
  const choose = (steps: readonly Step[]) => {
    const allowed = groupByUnit(bridge, steps).filter(({ unit }) => mayRepair(unit));
    const chosen = new Set(allowed.flatMap(group => group.steps));
    return steps.filter(step => chosen.has(step));
  };
  try {
    return await withNetworkLock(async () => {
      if (!isEstablished(bridge)) return { events: [], units: [] };
      const established = await establishWhatWorks(network, choose);
      const tried = [...established.done, ...established.failed.map(({ step }) => step)];
      return {
        events: changeEvents(network, 'network-repaired', established),
        units: unitsOf(bridge, tried),
      };
    });
  } catch (error) {
    return { events: [{ kind: 'network-failed', network: network.name, error: error as Error }], units: [] };
  }
}

function unitsOf(bridge: string, steps: readonly Step[]): Unit[] {
  return groupByUnit(bridge, steps).map(({ unit }) => unit);
}
