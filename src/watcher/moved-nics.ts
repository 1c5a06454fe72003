// Reserves addresses for running machines that have a NIC without a reservation on its network: `virsh update-device`
// puts a NIC into another bridge, and libvirt tells nobody.
import type { NetworkConfig } from '../config/config.ts';
import { machineOn } from '../identity/machine.ts';
import { readLedger } from '../identity/store.ts';
import { passThroughNetworks, runningDomains } from '../libvirt/definitions.ts';

/** `reconcile` reserves for the machine of a name, and may fail: it may have stopped meanwhile. */
export function reserveMoved(
  networks: readonly NetworkConfig[],
  reconcile: (name: string) => Promise<unknown>,
): void {
  try {
    for (const name of namesWithoutReservation(networks)) void reconcile(name).catch(() => {});
  } catch {
    // A damaged ledger: the status reports it.
  }
}

function namesWithoutReservation(networks: readonly NetworkConfig[]): Set<string> {
  const ledger = readLedger();
  const running = runningDomains();
  const names = networks.flatMap(({ name, bridge }) => {
    const passThrough = passThroughNetworks(name, bridge);
    const machines = running.map(domain => machineOn(bridge, passThrough, domain));
    return machines.flatMap(({ uuid, macs, name: machine }) => {
      const reserved = ledger.ofMachine(name, uuid).map(entry => entry.macs[0]);
      return macs.every(mac => reserved.includes(mac)) ? [] : [machine];
    });
  });
  return new Set(names);
}
