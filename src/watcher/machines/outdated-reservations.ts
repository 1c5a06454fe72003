// Reserves addresses again after changes that libvirt has no event of the machine for: `virsh update-device` has put a
// NIC of a running machine into another bridge, or has isolated it; a line written by hand that concerns a machine has
// come, changed or gone; the network that a machine refers to has become one that leads to virlan's bridge; or another
// machine has given up what this one asks for.
import type { Mac } from '../../address/mac.ts';
import type { NetworkConfig } from '../../config/config.ts';
import { type HandLine, handLines } from '../../dnsmasq/hostsfile.ts';
import type { Ledger } from '../../identity/ledger.ts';
import type { LedgerEntry } from '../../identity/ledger-format.ts';
import { machineOn } from '../../identity/machine.ts';
import type { ReservationProblem } from '../../identity/problem.ts';
import { readHostsfile, readLedger } from '../../identity/store.ts';
import { definedDomains, passThroughNetworks, runningDomains } from '../../libvirt/definitions.ts';
import type { Domain } from '../../libvirt/domain-xml.ts';

/** Finds the machines whose reservations are missing or outdated. */
export class OutdatedReservations {
  readonly #reconcile: (machine: string) => Promise<unknown>;
  /** By bridge: the lines written by hand at the last check. */
  readonly #lines = new Map<string, readonly HandLine[]>();

  /** `reconcile` reserves for the machine of a name, and may fail: it may be gone meanwhile. */
  constructor(reconcile: (machine: string) => Promise<unknown>) {
    this.#reconcile = reconcile;
  }

  /** Reserves for running machines, and for those that a line written by hand concerns. */
  check(networks: readonly NetworkConfig[]): void {
    this.#reserve(() => {
      const ledger = readLedger();
      const running = runningDomains();
      return networks.flatMap(network => [
        ...unreserved(network, ledger, running),
        ...this.#concerned(network, ledger),
      ]);
    });
  }

  /** Reserves for defined machines that have no reservation, or lack what another one had. */
  checkDefined(networks: readonly NetworkConfig[]): void {
    this.#reserve(() => {
      const ledger = readLedger();
      const defined = definedDomains();
      const running = new Set(runningDomains().map(({ uuid }) => uuid));
      return networks.flatMap(network => [
        ...unreserved(network, ledger, defined),
        ...lacking(network, ledger, defined, running),
      ]);
    });
  }

  #reserve(find: () => readonly string[]): void {
    try {
      for (const name of new Set(find())) void this.#reconcile(name).catch(() => {});
    } catch {
      // A damaged ledger or hostsfile: the status reports it.
    }
  }

  /** Returns the machines that the lines concern which have come or gone since the last check. */
  #concerned(network: NetworkConfig, ledger: Ledger): string[] {
    const { bridge } = network;
    const now = handLines(readHostsfile(network), network);
    // All machines are compared when the watcher starts, and when a network is configured.
    const before = this.#lines.get(bridge) ?? now;
    this.#lines.set(bridge, now);
    const changed = [...linesWithout(now, before), ...linesWithout(before, now)];
    return changed.flatMap(line => entriesOf(line, network, ledger)).map(({ name }) => name);
  }
}

/** Returns the machines that lack a reservation of the MAC of a NIC, or have another one. */
function unreserved({ name, bridge }: NetworkConfig, ledger: Ledger, domains: readonly Domain[]): string[] {
  const passThrough = passThroughNetworks(name, bridge);
  const machines = domains.map(domain => machineOn(bridge, passThrough, domain));
  return machines.flatMap(({ uuid, macs, isolated, name: machine }) => {
    const entries = ledger.ofMachine(name, uuid);
    const isReserved = (mac: Mac) =>
      entries.some(entry => entry.macs[0] === mac && entry.isolated === isolated.has(mac));
    return macs.every(isReserved) ? [] : [machine];
  });
}

/**
 * Returns the machines that lack what another machine had when they were decided about. One that runs, and asks for
 * another address than it has, keeps that until it stops.
 */
function lacking(
  { name }: NetworkConfig,
  ledger: Ledger,
  domains: readonly Domain[],
  running: ReadonlySet<string>,
): string[] {
  const isLacking = (entry: LedgerEntry) =>
    lacksWhatOthersHave(entry) && !(entry.problem?.kind === 'address-taken' && running.has(entry.uuid));
  return domains
    .filter(({ uuid }) => ledger.ofMachine(name, uuid).some(isLacking))
    .map(domain => domain.name);
}

function lacksWhatOthersHave({ problem, refusedAliases }: LedgerEntry): boolean {
  return (
    (problem !== null && causedByOthers.includes(problem.kind)) ||
    refusedAliases.some(({ reason }) => reason === 'taken')
  );
}

const causedByOthers: readonly ReservationProblem['kind'][] = [
  'mac-taken',
  'address-taken',
  'hostname-taken',
  'pool-exhausted',
];

function linesWithout(lines: readonly HandLine[], others: readonly HandLine[]): HandLine[] {
  const known = new Set(others.map(line => JSON.stringify(line)));
  return lines.filter(line => !known.has(JSON.stringify(line)));
}

/** Returns the entries of this host's machines with a MAC, the address or the host name of a line. */
function entriesOf({ macs, ip, hostname }: HandLine, { name }: NetworkConfig, ledger: Ledger): LedgerEntry[] {
  const found = [
    ...macs.flatMap(mac => ledger.withMacOn(name, mac)),
    ...(ip === null ? [] : ledger.withIp(name, ip)),
    ...(hostname === null ? [] : ledger.withHostname(name, hostname)),
  ];
  return found.filter(({ retired, host }) => retired === null && host === null);
}
