// Reserves addresses again after changes that libvirt has no event for: `virsh update-device` has put a NIC of a
// running machine into another bridge, or a line that was written by hand names another address for a machine.
import type { Ipv4 } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import type { NetworkConfig } from '../config/config.ts';
import { handLines } from '../dnsmasq/hostsfile.ts';
import type { Ledger } from '../identity/ledger.ts';
import type { LedgerEntry } from '../identity/ledger-format.ts';
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

function withOtherLine(networks: readonly NetworkConfig[], ledger: Ledger): string[] {
  return networks.flatMap(network => {
    const lines = handLines(readHostsfile(network));
    // Of several lines with one MAC, the first counts.
    const byMac = new Map(lines.toReversed().flatMap(({ macs, ip }) => macs.map(mac => [mac, ip] as const)));
    return [...byMac].flatMap(([mac, ip]) =>
      ledger
        .withMacOn(network.name, mac)
        .filter(entry => isOutdated(entry, mac, ip))
        .map(({ name }) => name),
    );
  });
}

/** Returns whether a line promises an entry another address. An entry may have none because its MAC is another's. */
function isOutdated(
  { macs, ip, retired, host, problem }: LedgerEntry,
  mac: Mac,
  promised: Ipv4 | null,
): boolean {
  const isOfThisHost = retired === null && host === null;
  const isFollowed = macs[0] === mac && (ip !== null || problem === null);
  return isOfThisHost && isFollowed && promised !== null && ip !== promised;
}
