// Establishes a network as far as possible, for hooks and repairs.
import type { NetworkConfig } from '../config/config.ts';
import { establishTolerantly, withNetworkLock } from '../network/establish.ts';
import type { Established } from '../network/established.ts';
import { isTakenDown } from '../network/records/applied-record.ts';
import { groupByUnit } from '../network/steps/group-by-unit.ts';
import { goalOf, type Step } from '../network/steps/steps.ts';
import type { Unit } from '../network/steps/units.ts';
import type { NetworkEvent } from '../report/event.ts';
import { changeEvents } from '../report/network-events.ts';

/** Establishes a network as far as possible. Failures are events. */
export async function establishForHook(
  network: NetworkConfig,
  lockTimeoutSeconds?: number,
): Promise<NetworkEvent[]> {
  try {
    const work = () => establishTolerantly(network, steps => steps);
    const established = await withNetworkLock(work, lockTimeoutSeconds);
    return changeEvents(network, 'network-established', established);
  } catch (error) {
    return [{ kind: 'network-failed', network: network.name, error: error as Error }];
  }
}

/** Longest wait for another virlan process: libvirt's call waits for the hook meanwhile. */
const hookLockTimeoutSeconds = 5;

/**
 * Replaces a network's dnsmasq for a hook if `isOutdated`, once no other process changes the network. Leases are kept.
 * A network that was taken down stays down. Failures are events.
 */
export async function establishDnsmasq(
  network: NetworkConfig,
  isOutdated: () => boolean,
): Promise<NetworkEvent[]> {
  const { bridge } = network;
  const choose = (steps: readonly Step[]) => stepsOf(bridge, steps, ({ kind }) => kind === 'dnsmasq');
  try {
    return await withNetworkLock(async () => {
      if (isTakenDown(bridge) || !isOutdated()) return [];
      return changeEvents(network, 'network-established', await establishTolerantly(network, choose));
    }, hookLockTimeoutSeconds);
  } catch (error) {
    return [{ kind: 'network-failed', network: network.name, error: error as Error }];
  }
}

/** Returns those of some steps that belong to the units that `isChosen` names. */
function stepsOf(bridge: string, steps: readonly Step[], isChosen: (unit: Unit) => boolean): Step[] {
  const units = groupByUnit(bridge, steps).filter(({ unit }) => isChosen(unit));
  const chosen = new Set(units.flatMap(group => group.steps));
  return steps.filter(step => chosen.has(step));
}

export interface RepairedUnit {
  readonly unit: Unit;
  /** A text that is equal when the unit was restored to the same state. */
  readonly goal: string;
}

/** The result of a repair. */
export interface Repair {
  readonly events: readonly NetworkEvent[];
  /** The units that were repaired completely. */
  readonly repaired: readonly RepairedUnit[];
  /** Names the unit that failed; null if it was the repair of the network, or its record. */
  readonly failures: readonly { readonly unit: Unit | null; readonly error: Error }[];
}

/** Repairs those units of a network that `mayRepair` allows. A network that was taken down stays down. */
export async function repairNetwork(
  network: NetworkConfig,
  mayRepair: (unit: Unit) => boolean,
): Promise<Repair> {
  const { bridge } = network;
  const choose = (steps: readonly Step[]) => stepsOf(bridge, steps, mayRepair);
  try {
    return await withNetworkLock(async () => {
      if (isTakenDown(bridge)) return { events: [], repaired: [], failures: [] };
      const established = await establishTolerantly(network, choose);
      return {
        events: changeEvents(network, 'network-repaired', established),
        ...outcomes(bridge, established),
      };
    });
  } catch (thrown) {
    const error = thrown as Error;
    return {
      events: [{ kind: 'network-failed', network: network.name, error }],
      repaired: [],
      failures: [{ unit: null, error }],
    };
  }
}

/** Returns which units a repair of a network changed, and which it could not. */
function outcomes(
  bridge: string,
  { done, failed, warnings }: Established,
): Pick<Repair, 'repaired' | 'failures'> {
  const errors = new Map(failed.map(({ step, error }) => [step, error]));
  const units = groupByUnit(bridge, [...done, ...errors.keys()]).map(({ unit, steps }) => ({
    unit,
    goal: goalOf(steps),
    error: steps.map(step => errors.get(step)).find(error => error !== undefined) ?? null,
  }));
  return {
    repaired: units.flatMap(({ unit, goal, error }) => (error === null ? [{ unit, goal }] : [])),
    failures: [
      ...units.flatMap(({ unit, error }) => (error === null ? [] : [{ unit, error }])),
      ...warnings.flatMap(warning =>
        warning.kind === 'not-recorded' ? [{ unit: null, error: warning.error }] : [],
      ),
    ],
  };
}
