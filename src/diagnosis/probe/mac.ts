// The MAC of a probe.
import type { Mac } from '../../address/mac.ts';
import { linkMac } from '../../identity/formula.ts';
import { machineId } from '../../system/machine-id.ts';

/** Returns the MAC of a bridge's probes, always the same, so that the remains of a killed probe are found. */
export function probeMac(bridge: string): Mac {
  return linkMac('probe', machineId(), bridge);
}
