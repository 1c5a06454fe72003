// Reserves addresses again after changes that libvirt has no event for: `virsh update-device` has put a NIC of a
// running machine into another bridge, or a line written by hand that concerns a machine has come, changed or gone.
import type { Mac } from '../address/mac.ts';
import type { NetworkConfig } from '../config/config.ts';
import { type HandLine, type HandLineEffect, handLines } from '../dnsmasq/hostsfile.ts';
import type { Ledger } from '../identity/ledger.ts';
import type { LedgerEntry } from '../identity/ledger-format.ts';
import { machineOn } from '../identity/machine.ts';
import type { ReservationProblem } from '../identity/problem.ts';
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
  return networks.flatMap(network => {
    const { name, bridge } = network;
    const passThrough = passThroughNetworks(name, bridge);
    const lines = handLines(readHostsfile(network), network);
    const machines = running.map(domain => machineOn(bridge, passThrough, domain));
    return machines.flatMap(({ uuid, macs, name: machine }) => {
      const entries = ledger.ofMachine(name, uuid);
      const reserved = entries.map(entry => entry.macs[0]);
      const isReserved = macs.every(mac => reserved.includes(mac));
      return isReserved && !entries.some(entry => isLineGone(entry, lines)) ? [] : [machine];
    });
  });
}

/** Returns whether an entry has a problem because of a line that is there no more. */
function isLineGone({ macs, problem }: LedgerEntry, lines: readonly HandLine[]): boolean {
  const effect = problem === null ? undefined : effectByProblem[problem.kind];
  const isSame = (line: HandLine) => line.effect === effect && line.macs.some(mac => mac === macs[0]);
  return effect !== undefined && !lines.some(isSame);
}

/** The effects of lines that are problems of the entries with their MACs. */
const effectByProblem: Partial<Record<ReservationProblem['kind'], HandLineEffect>> = {
  'line-without-address': 'any-address',
  'mac-ignored': 'ignores',
  'line-unusable': 'none',
};

function withOtherLine(networks: readonly NetworkConfig[], ledger: Ledger): string[] {
  return networks.flatMap(network => {
    const lines = handLines(readHostsfile(network), network);
    // Of several lines with one MAC, the first counts.
    const byMac = new Map(lines.toReversed().flatMap(line => line.macs.map(mac => [mac, line] as const)));
    return [...byMac].flatMap(([mac, line]) =>
      ledger
        .withMacOn(network.name, mac)
        .filter(entry => isOutdated(entry, mac, line))
        .map(({ name }) => name),
    );
  });
}

/** Returns whether an entry is not as a line has it. An entry may have no address because its MAC is another's. */
function isOutdated(
  { macs, ip, retired, host, problem }: LedgerEntry,
  mac: Mac,
  { ip: promised, effect }: HandLine,
): boolean {
  const isOfThisHost = retired === null && host === null;
  if (!isOfThisHost || macs[0] !== mac) return false;
  switch (effect) {
    case 'serves':
      return promised !== null && ip !== promised && (ip !== null || problem === null);
    case 'any-address':
      return ip !== null && problem?.kind !== 'line-without-address';
    case 'ignores':
      return ip !== null && problem?.kind !== 'mac-ignored';
    case 'none':
      return ip !== null && problem?.kind !== 'line-unusable';
  }
}
