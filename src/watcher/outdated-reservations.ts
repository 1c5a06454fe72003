// Reserves addresses again where something that nobody tells of has changed: `virsh update-device` has put a NIC of a
// running machine into another bridge, or a line that was written by hand names another address for a machine.
import type { NetworkConfig } from '../config/config.ts';
import { handLines } from '../dnsmasq/hostsfile.ts';
import type { Ledger } from '../identity/ledger.ts';
import { machineOn } from '../identity/machine.ts';
import { readHostsfile, readLedger } from '../identity/store.ts';
import { passThroughNetworks, runningDomains } from '../libvirt/definitions.ts';

/** `reconcile` reserves for the machine of a name, and may fail: it may be gone meanwhile. */
export function reserveOutdated(
  networks: readonly NetworkConfig[],
  reconcile: (name: string) => Promise<unknown>,
): void {
  try {
    const ledger = readLedger();
    const outdated = [...withoutReservation(networks, ledger), ...withOtherLine(networks, ledger)];
    for (const name of new Set(outdated)) void reconcile(name).catch(() => {});
  } catch {
    // A damaged ledger or hostsfile: the status reports it.
  }
}

function withoutReservation(networks: readonly NetworkConfig[], ledger: Ledger): string[] {
  const running = runningDomains();
  return networks.flatMap(({ name, bridge }) => {
    const passThrough = passThroughNetworks(name, bridge);
    const machines = running.map(domain => machineOn(bridge, passThrough, domain));
    return machines.flatMap(({ uuid, macs, name: machine }) => {
      const reserved = ledger.ofMachine(name, uuid).map(entry => entry.macs[0]);
      return macs.every(mac => reserved.includes(mac)) ? [] : [machine];
    });
  });
}

/** An entry with a problem is left out: its line cannot be followed. */
function withOtherLine(networks: readonly NetworkConfig[], ledger: Ledger): string[] {
  return networks.flatMap(network => {
    const lines = handLines(readHostsfile(network)).filter(({ ip }) => ip !== null);
    return lines.flatMap(({ macs, ip }) =>
      macs
        .flatMap(mac => ledger.withMacOn(network.name, mac))
        .filter(entry => entry.retired === null && entry.ip !== ip && entry.problem === null)
        .map(({ name }) => name),
    );
  });
}
