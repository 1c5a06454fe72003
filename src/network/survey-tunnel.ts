// Surveys and plans the tunnel of a network. Its code is loaded only where there is one, or is to be one.

import { paths } from '../system/paths.ts';
import { system } from '../system/system.ts';
import type { Link } from './kernel/links.ts';
import { planNetwork } from './plan.ts';
import { readApplied } from './records/applied-record.ts';
import { tunnelName } from './state/link-names.ts';
import type { DesiredNetwork, ObservedNetwork } from './state/state.ts';
import type { Step } from './steps/steps.ts';

/** Loads the code of tunnels where there is one, or is to be one; null otherwise. */
export async function loadTunnels(bridge: string, links: readonly Link[], isWanted: boolean) {
  const isThere =
    links.some(({ name }) => name === tunnelName(bridge)) || readApplied(bridge).tunnel !== null;
  // FRR may have virlan's lines still, when the rest is gone.
  return isWanted || isThere || system.exists(paths.bgp) ? import('./tunnel/tunnel.ts') : null;
}

/** Plans the tunnel last, where nothing else waits for it, and its end first. */
export async function planWithTunnel(desired: DesiredNetwork, observed: ObservedNetwork): Promise<Step[]> {
  const steps = planNetwork(desired, observed);
  if (observed.tunnel === null) return steps;
  const { planTunnel } = await import('./tunnel/tunnel.ts');
  const ofTunnel = planTunnel(desired.bridge, desired.tunnel, observed.tunnel);
  return desired.link === null ? [...ofTunnel, ...steps] : [...steps, ...ofTunnel];
}
