import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Ipv4 } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import type { NetworkConfig } from '../config/config.ts';
import { dnsmasqPaths } from '../dnsmasq/conf.ts';
import {
  formatHostsfile,
  type HandLine,
  type Hostsfile,
  handLines,
  parseHostsfile,
  reservationLine,
  withProbe,
  withReservation,
  withReservations,
} from '../dnsmasq/hostsfile.ts';
import { isCurrent, type Lease, parseLeases } from '../dnsmasq/leases.ts';
import { tellDnsmasq } from '../dnsmasq/process.ts';
import { definedDomains, runningDomains } from '../libvirt/definitions.ts';
import { isMissing, readBytesOrNull, readFileOrNull, writeAtomically } from '../system/files.ts';
import { withLock } from '../system/lock.ts';
import { paths } from '../system/paths.ts';
import { DamagedLedger, Ledger, ledgerRemedy } from './ledger.ts';
import type { Machine } from './machine.ts';
import { lastFree } from './pool.ts';
import { type Circumstances, poolOf, type Reserved, reservationOf, reserve } from './reserve.ts';

/** How long one process waits for another to be done with the ledger, in seconds: a machine's start waits meanwhile. */
const patience = 5;

/** The ledger; an empty one when there is none yet. Throws, naming file and line, for one that is damaged: it is never written over. */
export function readLedger(): Ledger {
  return ledgers(paths.ledger);
}

/** A network's hostsfile; an empty one when there is none yet. Throws for one that is damaged: it is never written over. */
export function readHostsfile(bridge: string): Hostsfile {
  return hostsfiles(dnsmasqPaths(bridge).hostsfile);
}

const ledgers = untilReplaced(path => {
  const parsed = Ledger.parse(readBytesOrNull(path) ?? Buffer.alloc(0), path);
  if (parsed.ok) return parsed.value;
  throw new DamagedLedger(`${path}: ${parsed.error}: ${ledgerRemedy}`);
});

const hostsfiles = untilReplaced(path => {
  const parsed = parseHostsfile(readFileOrNull(path) ?? '');
  if (parsed.ok) return parsed.value;
  throw new Error(`${path}: ${parsed.error}: mend that line, or move the file away`);
});

/** Reads a file once, until there is another in its place: the watcher asks for every machine. */
function untilReplaced<T>(read: (path: string) => T): (path: string) => T {
  const kept = new Map<string, { version: string; value: T }>();
  return path => {
    const version = versionOf(path);
    const known = kept.get(path);
    if (known?.version === version) return known.value;
    const value = read(path);
    kept.set(path, { version, value });
    return value;
  };
}

export function readLeases(bridge: string): Lease[] {
  return parseLeases(readFileOrNull(dnsmasqPaths(bridge).leases) ?? '');
}

/** The lines that a ledger and the fixed hosts of a network call for. */
export function wantedReservations(
  { name, hosts }: Pick<NetworkConfig, 'name' | 'hosts'>,
  ledger: Ledger,
  hostsfile: Hostsfile,
): string[] {
  const byHand = handLines(hostsfile);
  const fixed = hosts.filter(({ mac }) => !byHand.some(line => line.macs.includes(mac)));
  const spokenFor = [...byHand, ...fixedLines(hosts)];
  const machines = ledger
    .entries()
    .filter(entry => entry.network === name)
    .flatMap(entry => reservationOf(entry, spokenFor) ?? []);
  const reservations = [
    ...fixed.map(({ mac, ip, name: hostname }) => ({ macs: [mac], ip, hostname })),
    ...machines,
  ];
  return reservations.map(reservationLine);
}

/** What the fixed hosts of a network speak for, as if it were written by hand. */
function fixedLines(hosts: NetworkConfig['hosts']): HandLine[] {
  return hosts.map(({ mac, ip, name: hostname }) => ({ macs: [mac], ip, hostname }));
}

/** Brings virlan's lines of a hostsfile in line with the ledger, and tells dnsmasq. */
export async function syncHostsfile(
  network: Pick<NetworkConfig, 'name' | 'hosts'>,
  bridge: string,
): Promise<void> {
  await withLock(paths.ledgerLock, patience, () => {
    const hostsfile = readHostsfile(bridge);
    const changed = withReservations(hostsfile, wantedReservations(network, readLedger(), hostsfile));
    if (changed !== null) writeHostsfile(bridge, changed);
    tellDnsmasq(bridge);
  });
}

/** What `changeLedger` works on. */
export interface LedgerChange<T> {
  readonly ledger: Ledger;
  readonly result: T;
}

/** Changes the ledger while nobody else does, and writes it when it did change. */
export async function changeLedger<T>(
  change: (ledger: Ledger) => LedgerChange<T> | Promise<LedgerChange<T>>,
): Promise<T> {
  return withLock(paths.ledgerLock, patience, async () => {
    const before = readLedger();
    const { ledger, result } = await change(before);
    writeLedger(before, ledger);
    return result;
  });
}

/** What a reservation came to, and whether dnsmasq runs and knows of it. */
export interface Stored extends Reserved {
  readonly told: boolean;
}

/**
 * Gives a machine its reservations: when this returns they are on disk and dnsmasq has been told. The ledger is written
 * first: what a killed process leaves out of the hostsfile, the next one finds missing there.
 */
export async function reserveMachine(
  network: NetworkConfig,
  machine: Machine,
  moment: 'booting' | 'defined',
): Promise<Stored> {
  const { bridge } = network;
  const first = decide(network, machine, moment);
  // Most machines start with all in its place: that is seen without the lock, since each file is replaced as a whole.
  if (isNothingToDo(first)) return { ...first.reserved, told: tellDnsmasq(bridge) };
  return withLock(paths.ledgerLock, patience, () => {
    const decision = first.version === versionsOf(bridge) ? first : decide(network, machine, moment);
    writeLedger(decision.before, decision.reserved.ledger);
    if (decision.changed !== null) writeHostsfile(bridge, decision.changed);
    return { ...decision.reserved, told: tellDnsmasq(bridge) };
  });
}

/**
 * Reserves an address for a probe: one that is in no entry of the ledger, leased to nobody else and promised to nobody.
 * It stands in the hostsfile alone, and until `dropProbe`. Null when none can be spared.
 */
export async function reserveProbe(
  network: NetworkConfig,
  { mac, hostname }: { mac: Mac; hostname: string },
): Promise<{ readonly ip: Ipv4; readonly told: boolean } | null> {
  const { bridge } = network;
  return withLock(paths.ledgerLock, patience, () => {
    const hostsfile = withProbe(readHostsfile(bridge), null) ?? readHostsfile(bridge);
    const promised = handLines(hostsfile).map(line => line.ip);
    const now = new Date();
    const leased = readLeases(bridge).filter(lease => lease.mac !== mac && isCurrent(lease, now));
    const isGiven = readLedger().addressTest();
    const pool = poolOf(network);
    const isTaken = (each: Ipv4) =>
      isGiven(each) || promised.includes(each) || leased.some(lease => lease.ip === each);
    const ip = lastFree(pool, isTaken);
    // The very last one is left to a machine that may start meanwhile.
    if (ip === null || lastFree(pool, each => each === ip || isTaken(each)) === null) return null;
    writeHostsfile(bridge, withProbe(hostsfile, { macs: [mac], ip, hostname }) ?? hostsfile);
    return { ip, told: tellDnsmasq(bridge) };
  });
}

/** Whether a hostsfile has a probe's line. */
export function hasProbe(bridge: string): boolean {
  return withProbe(readHostsfile(bridge), null) !== null;
}

/** Takes a probe's line out of a hostsfile again, where there is one. */
export async function dropProbe(bridge: string): Promise<void> {
  if (!hasProbe(bridge)) return;
  await withLock(paths.ledgerLock, patience, () => {
    const without = withProbe(readHostsfile(bridge), null);
    if (without === null) return;
    writeHostsfile(bridge, without);
    tellDnsmasq(bridge);
  });
}

interface Decision {
  /** Which ledger and which hostsfile it rests on. */
  readonly version: string;
  readonly before: Ledger;
  readonly reserved: Reserved;
  /** The hostsfile as it has to be; null for one that is right. */
  readonly changed: Hostsfile | null;
}

function decide(network: NetworkConfig, machine: Machine, moment: 'booting' | 'defined'): Decision {
  const { bridge, hosts } = network;
  const version = versionsOf(bridge);
  const hostsfile = readHostsfile(bridge);
  const before = readLedger();
  const byHand = handLines(hostsfile);
  let known: Set<string> | null = null;
  const around: Circumstances = {
    network,
    byHand,
    leases: () => readLeases(bridge),
    isKnown: uuid => {
      known ??= new Set([...definedDomains(), ...runningDomains()].map(domain => domain.uuid));
      return known.has(uuid);
    },
    now: new Date(),
  };
  const reserved = reserve(before, machine, moment, around);
  const spokenFor = [...byHand, ...fixedLines(hosts)];
  const settled = [...reserved.entries, ...reserved.others];
  const lines = settled.flatMap(entry => reservationOf(entry, spokenFor) ?? []);
  return { version, before, reserved, changed: withReservation(hostsfile, lines) };
}

function isNothingToDo({ version, before, reserved, changed }: Decision): boolean {
  return !version.includes(missing) && changed === null && reserved.ledger.isSameAs(before);
}

const missing = 'none';

/** A text that is another one after either file was replaced. */
function versionsOf(bridge: string): string {
  return [paths.ledger, dnsmasqPaths(bridge).hostsfile].map(versionOf).join(', ');
}

function versionOf(path: string): string {
  try {
    const { ino, mtimeNs, size } = statSync(path, { bigint: true });
    return `${ino} ${mtimeNs} ${size}`;
  } catch (error) {
    if (isMissing(error)) return missing;
    throw error;
  }
}

function writeLedger(before: Ledger, after: Ledger): void {
  if (after.isSameAs(before)) return;
  mkdirSync(dirname(paths.ledger), { recursive: true, mode: 0o700 });
  writeAtomically(paths.ledger, after.bytes, 0o600);
}

function writeHostsfile(bridge: string, hostsfile: Hostsfile): void {
  const path = dnsmasqPaths(bridge).hostsfile;
  mkdirSync(dirname(path), { recursive: true });
  writeAtomically(path, formatHostsfile(hostsfile));
}
