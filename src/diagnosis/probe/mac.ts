import type { Mac } from '../../address/mac.ts';
import { linkMac } from '../../identity/formula.ts';
import { machineId } from '../../system/machine-id.ts';

/** The MAC of a probe on a bridge: always the same, so that what a killed one left is known for what it is. */
export function probeMac(bridge: string): Mac {
  return linkMac('probe', machineId(), bridge);
}
