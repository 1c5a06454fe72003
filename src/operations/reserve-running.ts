// Reserves addresses for a running machine, for example one that was started before virlan was installed.
import type { Config } from '../config/config.ts';
import { machineOn } from '../identity/machine.ts';
import { reserveMachine } from '../identity/store.ts';
import { passThroughNetworks, runningDomains } from '../libvirt/definitions.ts';
import { writeEvents } from './write-events.ts';

/**
 * Makes the missing reservations of a running machine, and writes them to the log. Does nothing for a machine
 * that does not run.
 */
export async function reserveRunning({ networks }: Config, name: string): Promise<void> {
  const domain = runningDomains().find(other => other.name === name);
  if (domain === undefined) return;
  for (const network of networks) {
    const passThrough = passThroughNetworks(network.name, network.bridge);
    const machine = machineOn(network.bridge, passThrough, domain);
    if (machine.macs.length === 0) continue;
    const { events } = await reserveMachine(network, machine, 'booting');
    await writeEvents(events.map(event => ({ kind: 'reservation', event })));
  }
}
