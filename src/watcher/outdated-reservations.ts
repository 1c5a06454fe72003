// Reserves addresses again after changes that libvirt has no event for: `virsh update-device` has put a NIC of a
// running machine into another bridge, or has isolated it; or a line written by hand that concerns a machine has come,
// changed or gone.
import type { Mac } from '../address/mac.ts';
import type { NetworkConfig } from '../config/config.ts';
import { type HandLine, handLines, lineOf } from '../dnsmasq/hostsfile.ts';
import { lineProblem } from '../identity/choose-address.ts';
import type { Ledger } from '../identity/ledger.ts';
import type { LedgerEntry } from '../identity/ledger-format.ts';
import { machineOn } from '../identity/machine.ts';
import type { ReservationProblem } from '../identity/problem.ts';
import { readHostsfile, readLedger } from '../identity/store.ts';
import { passThroughNetworks, runningDomains } from '../libvirt/definitions.ts';
import type { Domain } from '../libvirt/domain-xml.ts';

/** `reconcile` reserves for the machine of a name, and may fail: it may be gone meanwhile. */
export function reserveOutdated(
  networks: readonly NetworkConfig[],
  reconcile: (name: string) => Promise<unknown>,
): void {
  try {
    const ledger = readLedger();
    const running = runningDomains();
    const outdated = networks.flatMap(network => {
      const lines = handLines(readHostsfile(network), network);
      return [...outdatedRunning(network, ledger, running, lines), ...withOtherLine(network, ledger, lines)];
    });
    for (const name of new Set(outdated)) void reconcile(name).catch(() => {});
  } catch {
    // A damaged ledger or hostsfile: the status reports it.
  }
}

/** Returns the running machines whose reservations are missing or outdated. */
function outdatedRunning(
  { name, bridge }: NetworkConfig,
  ledger: Ledger,
  running: readonly Domain[],
  lines: readonly HandLine[],
): string[] {
  const passThrough = passThroughNetworks(name, bridge);
  const machines = running.map(domain => machineOn(bridge, passThrough, domain));
  return machines.flatMap(({ uuid, macs, isolated, name: machine }) => {
    const entries = ledger.ofMachine(name, uuid);
    const isReserved = (mac: Mac) =>
      entries.some(entry => entry.macs[0] === mac && entry.isolated === isolated.has(mac));
    return macs.every(isReserved) && !entries.some(entry => isLineGone(entry, lines)) ? [] : [machine];
  });
}

function isLineGone({ macs, problem }: LedgerEntry, lines: readonly HandLine[]): boolean {
  const [mac] = macs;
  if (mac === undefined || problem === null || !problemsOfLines.includes(problem.kind)) return false;
  return lineProblem(mac, lineOf(mac, lines))?.kind !== problem.kind;
}

/** The problems that lines written by hand are the cause of: `lineProblem`. */
const problemsOfLines: readonly ReservationProblem['kind'][] = [
  'line-without-address',
  'mac-ignored',
  'line-unusable',
];

function withOtherLine({ name }: NetworkConfig, ledger: Ledger, lines: readonly HandLine[]): string[] {
  const macs = new Set(lines.flatMap(line => line.macs));
  return [...macs].flatMap(mac => {
    const line = lineOf(mac, lines);
    const outdated = ledger.withMacOn(name, mac).filter(entry => isOutdated(entry, mac, line));
    return outdated.map(entry => entry.name);
  });
}

/** Returns whether an entry is not as a line has it. An entry may have no address because its MAC is another's. */
function isOutdated(
  { macs, ip, retired, host, problem }: LedgerEntry,
  mac: Mac,
  line: HandLine | null,
): boolean {
  if (retired !== null || host !== null || macs[0] !== mac || line === null) return false;
  const wanted = lineProblem(mac, line);
  if (wanted !== null) return ip !== null && problem?.kind !== wanted.kind;
  return line.ip !== null && ip !== line.ip && (ip !== null || problem === null);
}
