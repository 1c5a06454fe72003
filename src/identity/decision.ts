// Decides the changes of the ledger and the hostsfile for a machine. Pure: its whole input is in the
// arguments.
import type { Ipv4, Ipv4Range } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import type { NetworkConfig } from '../config/config.ts';
import type { MachineBoot } from '../dnsmasq/boot-lines.ts';
import {
  type HandLine,
  type Hostsfile,
  handLines,
  promisedBy,
  type Reservation,
  reservationLine,
  withoutProbe,
  withReservation,
} from '../dnsmasq/hostsfile.ts';
import { isCurrent, type Lease, type PromisedAddress } from '../dnsmasq/leases.ts';
import { type NamedAddress, nameLines, withNames } from '../dnsmasq/names.ts';
import { isWildcard, wildcardName } from '../names/alias.ts';
import { leasedAddresses } from './choose-address.ts';
import { isSameNic, type Moment } from './context.ts';
import type { Ledger } from './ledger.ts';
import type { LedgerEntry } from './ledger-format.ts';
import type { Machine } from './machine.ts';
import { lastFree, type Pool, poolIn, poolOf } from './pool.ts';
import { type Reserved, reserve } from './reserve.ts';
import type { AddressReason, TrailStep } from './trail.ts';

/** The input that was read from the host. */
export interface DecisionInput {
  readonly ledger: Ledger;
  readonly hostsfile: Hostsfile;
  /** The text of the file of names. */
  readonly names: string;
  /** Called only when a new address is chosen. */
  leases(): readonly Lease[];
  /** The addresses that somebody else on the bridge was heard to answer for. */
  readonly answered: ReadonlySet<Ipv4>;
  /** Called only when a new address is chosen where hosts share their ledgers. */
  ownBlocks(): readonly Ipv4Range[];
  /** The name of the host itself, without a domain. */
  readonly hostName: string;
  /** The MACs that the host itself has on the network. */
  readonly hostMacs: readonly Mac[];
  /** Returns whether libvirt knows a machine; called only when another machine's entry is in the way. */
  isKnown(uuid: string): boolean;
  /** Returns whether a machine runs; called only when it has an address that another one asks for. */
  isRunning(uuid: string): boolean;
}

export interface Decision {
  readonly reserved: Reserved;
  /** The changed hostsfile; null when it needs no change. */
  readonly hostsfile: Hostsfile | null;
  /** The changed lines of the file of names; null when it needs no change. */
  readonly names: readonly string[] | null;
}

/** The part of a network's configuration that its reservations and names follow from. */
export type ReservedNetwork = Pick<
  NetworkConfig,
  'name' | 'bridge' | 'domain' | 'subnet' | 'gateway' | 'hosts'
>;

/** Decides on the reservations of a machine. Throws VirlanError 'damaged-file' for a line of the ledger. */
export function decide(
  network: NetworkConfig,
  machine: Machine,
  moment: Moment,
  input: DecisionInput,
  now: Date,
): Decision {
  const reserved = decideEntries(network, machine, moment, input, now);
  return { reserved, ...changedFiles(network, input, [{ machine, reserved }]) };
}

/** Decides on the entries alone. Throws as `decide`. */
export function decideEntries(
  network: NetworkConfig,
  machine: Machine,
  moment: Moment,
  { ledger, hostsfile, names: _, ...rest }: DecisionInput,
  now: Date,
): Reserved {
  return reserve(ledger, machine, moment, { network, byHand: handLines(hostsfile, network), ...rest, now });
}

/**
 * Returns the hostsfile and the lines of the file of names after decisions about machines, each with the ledger
 * of the one before; null for a file that needs no change. Only the lines of these machines, of those that lost
 * something to them and of their predecessors are compared: ten thousand others cost nothing.
 */
export function changedFiles(
  network: ReservedNetwork,
  { ledger, hostsfile, names }: Pick<DecisionInput, 'ledger' | 'hostsfile' | 'names'>,
  decided: readonly { readonly machine: Machine; readonly reserved: Reserved }[],
): Pick<Decision, 'hostsfile' | 'names'> {
  const { name } = network;
  const claimed = claimedLines(hostsfile, network);
  const after = decided.at(-1)?.reserved.ledger ?? ledger;
  const changed = decided.flatMap(({ reserved }) => [...reserved.entries, ...reserved.displaced]);
  const predecessors = decided.flatMap(({ machine }) => ledger.named(name, machine.name));
  const machines = new Set([...changed, ...predecessors].map(({ uuid }) => uuid));
  const namedIn = (each: Ledger) =>
    [...machines].flatMap(uuid => each.ofMachine(name, uuid).flatMap(entry => namesOf(entry, claimed) ?? []));
  const lines = latestOf(changed, after)
    .filter(isHere)
    .flatMap(entry => reservationOf(entry, claimed) ?? []);
  return {
    hostsfile: withReservation(hostsfile, lines),
    names: withNames(names, namedIn(ledger), namedIn(after)),
  };
}

/** Returns each of some entries once, as it is in a ledger: a later decision may have changed it again. */
function latestOf(entries: readonly LedgerEntry[], ledger: Ledger): LedgerEntry[] {
  const latest = entries.map(
    entry => ledger.ofMachine(entry.network, entry.uuid).find(each => isSameNic(each, entry)) ?? null,
  );
  return [...new Set(latest)].filter(entry => entry !== null);
}

/** Returns the names of an entry's address; null when it has no line in the hostsfile. */
function namesOf(entry: LedgerEntry, claimed: readonly ClaimingLine[]): NamedAddress | null {
  const reservation = reservationOf(entry, claimed);
  return reservation === null
    ? null
    : {
        ip: reservation.ip,
        names: [reservation.hostname, ...entry.aliases.filter(alias => !isWildcard(alias))],
      };
}

/**
 * Returns the lines of a network's file of names: the gateway, fixed hosts, machines, hand-written lines of
 * the hostsfile, and what libvirt's networks name.
 */
export function wantedNames(
  network: ReservedNetwork,
  ledger: Ledger,
  hostsfile: Hostsfile,
  libvirt: readonly NamedAddress[],
): string[] {
  const byHand = servedLines(withoutProbe(hostsfile), network);
  const fixed = fixedLines(network.hosts);
  const named: NamedAddress[] = [
    { ip: network.gateway, names: [gatewayName] },
    ...unclaimed(fixed, byHand).map(({ ip, hostname }) => ({ ip, names: [hostname] })),
    ...entriesOf(network, ledger).flatMap(entry => namesOf(entry, [...byHand, ...fixed]) ?? []),
    ...byHand.flatMap(({ ip, hostname }) =>
      ip === null || hostname === null ? [] : { ip, names: [hostname] },
    ),
  ];
  return nameLines(named, libvirt);
}

/** Returns the names that stand for all names below them: those of wildcard aliases, with their addresses. */
export function wildcardsOf(network: ReservedNetwork, ledger: Ledger, hostsfile: Hostsfile): NamedAddress[] {
  const claimed = claimedLines(hostsfile, network);
  return entriesOf(network, ledger).flatMap(entry => {
    const wildcards = entry.aliases.filter(isWildcard);
    const reservation = wildcards.length === 0 ? null : reservationOf(entry, claimed);
    if (reservation === null) return [];
    const { ip, hostname } = reservation;
    return { ip, names: wildcards.map(alias => wildcardName(alias, hostname)) };
  });
}

/** Returns the machines whose network boot differs from that of their network. */
export function bootsOf(network: Pick<ReservedNetwork, 'name'>, ledger: Ledger): MachineBoot[] {
  return entriesOf(network, ledger)
    .filter(isHere)
    .flatMap(({ macs, hostname, boot }) => (boot === null ? [] : { macs, hostname, boot }));
}

/** The name of the host on each network. No machine gets it: names/label.ts. */
const gatewayName = 'gateway';

/**
 * Returns virlan's lines of a network's hostsfile: those of its fixed hosts and of its entries in the ledger.
 */
export function wantedReservations(network: ReservedNetwork, ledger: Ledger, hostsfile: Hostsfile): string[] {
  const byHand = servedLines(hostsfile, network);
  const fixed = fixedLines(network.hosts);
  const reservations: Reservation[] = [
    ...unclaimed(fixed, byHand),
    ...entriesOf(network, ledger)
      .filter(isHere)
      .flatMap(entry => reservationOf(entry, [...byHand, ...fixed]) ?? []),
  ];
  return reservations.map(reservationLine);
}

/** Machines of other hosts of a cluster have names here, and their addresses from their own hosts. */
function isHere({ host }: LedgerEntry): boolean {
  return host === null;
}

function entriesOf({ name }: Pick<ReservedNetwork, 'name'>, ledger: Ledger): LedgerEntry[] {
  return ledger.present().filter(entry => entry.network === name);
}

/** Returns the lines of fixed hosts without those whose MAC has a hand-written line. */
function unclaimed(fixed: readonly Reservation[], byHand: readonly ClaimingLine[]): Reservation[] {
  return fixed.filter(
    ({ macs: [mac] }) => mac !== undefined && !byHand.some(line => line.macs.includes(mac)),
  );
}

/** Returns the line of an entry; null when it has no address, or a line in `claimed` has its MAC. */
export function reservationOf(entry: LedgerEntry, claimed: readonly ClaimingLine[]): Reservation | null {
  const macs = entry.macs.filter(mac => !claimed.some(line => line.macs.includes(mac)));
  return entry.ip === null || entry.retired !== null || macs.length === 0 || macs[0] !== entry.macs[0]
    ? null
    : { macs, ip: entry.ip, hostname: entry.hostname };
}

/** Returns the addresses that NICs would get for the first time, with the MACs of each NIC. */
export function newAddresses({ entries, why }: Pick<Reserved, 'entries' | 'why'>): PromisedAddress[] {
  return entries.flatMap(({ ip, macs }, index) =>
    ip !== null && why[index]?.some(isNewAddress) ? [{ ip, macs }] : [],
  );
}

const newlyGiven: readonly AddressReason[] = ['formula', 'next-free', 'retired-reused'];

/** Returns whether a step of a decision gives an address that its NIC did not have, and nobody asked for. */
export function isNewAddress(step: TrailStep): boolean {
  return step.kind === 'address' && newlyGiven.includes(step.reason);
}

/** Returns the addresses of entries, as promised to their MACs and to those of lines written by hand. */
export function promisedTo(entries: readonly LedgerEntry[], byHand: readonly HandLine[]): PromisedAddress[] {
  const own = entries.flatMap(({ ip, macs }) => (ip === null ? [] : [{ ip, macs }]));
  return promisedBy([...own, ...byHand.filter(({ ip }) => own.some(each => each.ip === ip))]);
}

/** A line that has MACs, so that a line of virlan's must not have them, too. */
type ClaimingLine = Pick<HandLine, 'macs'>;

function claimedLines(hostsfile: Hostsfile, network: ReservedNetwork): ClaimingLine[] {
  return [...servedLines(hostsfile, network), ...fixedLines(network.hosts)];
}

/** Returns the lines written by hand that dnsmasq follows. */
function servedLines(hostsfile: Hostsfile, network: ReservedNetwork): HandLine[] {
  return handLines(hostsfile, network).filter(({ effect }) => effect !== 'none');
}

function fixedLines(hosts: NetworkConfig['hosts']): Reservation[] {
  return hosts.map(({ mac, ip, name: hostname }) => ({ macs: [mac], ip, hostname }));
}

/** Most addresses that are proposed for a probe. */
const maxProbeAddresses = 8;

/**
 * Returns the addresses that a probe may have, best first: in no entry, in no line, and leased to no other MAC. When
 * there is at most one, which is left to a machine that may start meanwhile, those that are leased to somebody
 * without a reservation: a guest can take a lease of every address that there is.
 */
export function probeAddresses(
  network: NetworkConfig,
  mac: Mac,
  {
    ledger,
    hostsfile,
    leases,
    ownBlocks,
  }: Pick<DecisionInput, 'ledger' | 'hostsfile' | 'leases' | 'ownBlocks'>,
  now: Date,
): Ipv4[] {
  const byHand = handLines(hostsfile, network);
  const claimed = new Set(byHand.map(line => line.ip));
  const leasedToReserved = leasedAddresses(ledger, mac, { network, byHand, leases, now });
  const pools = network.sharesLedger ? ownBlocks().map(block => poolIn(network, block)) : [poolOf(network)];
  const isTaken = (address: Ipv4) =>
    ledger.hasIp(network.name, address) || claimed.has(address) || leasedToReserved(address);
  const others = leases().filter(lease => lease.mac !== mac && isCurrent(lease, now));
  const leased = new Set(others.map(lease => lease.ip));
  const free = lastOnes(pools, address => !isTaken(address) && !leased.has(address));
  return free.length > 1 ? free : lastOnes(pools, address => !isTaken(address) && leased.has(address));
}

function lastOnes(pools: readonly Pool[], isSuitable: (address: Ipv4) => boolean): Ipv4[] {
  const found: Ipv4[] = [];
  for (const pool of pools.toReversed())
    while (found.length < maxProbeAddresses) {
      const next = lastFree(pool, address => found.includes(address) || !isSuitable(address));
      if (next === null) break;
      found.push(next);
    }
  return found;
}
