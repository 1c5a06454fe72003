// Handles the start or reload of libvirtd or of a modular daemon. Each modular daemon calls the daemon hook,
// at the same time as others and whenever it starts again after it was idle.
import type { Config } from '../config/config.ts';
import { preventDefaultNetwork } from '../libvirt-networks/autostart.ts';
import type { LibvirtNetworkEvent } from '../report/event.ts';
import { establishForHook } from './establish-networks.ts';
import type { HookOutcome } from './hook-outcome.ts';

/** Keeps libvirt from starting its own network, and establishes every network as far as possible. */
export async function startDaemon(config: Config): Promise<HookOutcome> {
  const events: HookOutcome['events'][number][] = [...preventDefault(config)];
  for (const network of config.networks) events.push(...(await establishForHook(network)));
  return { events, abort: null };
}

/** Keeps libvirt from starting its default network, as far as that is possible by files. */
export function preventDefault(config: Config): LibvirtNetworkEvent[] {
  try {
    return preventDefaultNetwork(config) ? [{ kind: 'default-autostart-removed' }] : [];
  } catch (error) {
    return [{ kind: 'default-autostart-failed', error: error as Error }];
  }
}
