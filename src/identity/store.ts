// Decisions on disk: the ledger (ledger-files.ts) and the hostsfiles, read and changed under a lock.
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { formatIp, type Ipv4 } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import type { NetworkConfig } from '../config/config.ts';
import { handLines, withoutProbe, withProbe, withReservations } from '../dnsmasq/hostsfile.ts';
import { readLeasesTextOrNone } from '../dnsmasq/lease-file.ts';
import { leasesInTheWay, type PromisedAddress, parseLeases } from '../dnsmasq/leases.ts';
import { formatNames } from '../dnsmasq/names.ts';
import { dnsmasqPaths } from '../dnsmasq/paths.ts';
import { tellDnsmasq } from '../dnsmasq/process.ts';
import { definedDomains, runningDomains } from '../libvirt/definitions.ts';
import { readClusterCopy } from '../records/cluster-copy.ts';
import { isOutOfSpace } from '../system/file-errors.ts';
import { listDirectory } from '../system/files.ts';
import { hostAddresses } from '../system/host-addresses.ts';
import { withLock } from '../system/lock.ts';
import { machineId } from '../system/machine-id.ts';
import { paths, startPath } from '../system/paths.ts';
import type { Moment } from './context.ts';
import { type AddressToAsk, decideByAsking } from './decide-by-asking.ts';
import { type Decisions, decideTogether, type ReservationRequest } from './decide-together.ts';
import {
  type DecisionInput,
  newAddresses,
  probeAddresses,
  promisedTo,
  type ReservedNetwork,
} from './decision.ts';
import { bridgeMac, linkMac } from './formula.ts';
import type { Ledger } from './ledger.ts';
import { isSettled, readLedger, writeLedger } from './ledger-files.ts';
import type { Machine } from './machine.ts';
import { readHostsfile, readNames, readWanted, writeHostsfile, writeNames } from './reservation-files.ts';
import type { Reserved } from './reserve.ts';

/** Longest wait for another process that changes the ledger: a machine's start waits meanwhile. */
const ledgerLockTimeoutSeconds = 5;

/**
 * Ends the leases that keep promised addresses from those that they are promised to. Leases that cannot be read cost a
 * machine at most the address that it has now, not its reservation.
 */
export async function endLeasesInTheWay(
  network: Pick<NetworkConfig, 'bridge' | 'gateway'>,
  promised: readonly PromisedAddress[],
): Promise<void> {
  const remaining = () => leasesInTheWay(readLeasesTextOrNone(network.bridge), promised);
  if (remaining().length === 0) return;
  // Loaded only when needed: it is seldom, and a machine's start waits.
  const { releaseLeases } = await import('../dnsmasq/release.ts');
  await releaseLeases(network, remaining);
}

/** Returns the MACs that the host itself has on a network: of the bridge, and of the dummy NIC in it. */
export function hostMacs(network: Pick<NetworkConfig, 'name' | 'bridge' | 'tunnel'>): Mac[] {
  const id = machineId();
  return [bridgeMac(network, id), linkMac('nic', id, network.bridge)];
}

/** Reads the input of decisions on a network's machines. */
export function readDecisionInput(network: Pick<NetworkConfig, 'name' | 'bridge' | 'tunnel'>): DecisionInput {
  const { name, bridge } = network;
  let known: ReadonlySet<string> | null = null;
  return {
    ledger: readLedger(),
    hostsfile: readHostsfile({ name, bridge }),
    names: readNames(bridge),
    leases: () => parseLeases(readLeasesTextOrNone(bridge)),
    answered: new Set(),
    ownBlocks: () => readClusterCopy(name).blocks,
    hostName: hostname().toLowerCase().split('.')[0] ?? '',
    hostMacs: hostMacs(network),
    isRunning: uuid => runningDomains().some(domain => domain.uuid === uuid),
    isKnown: uuid => {
      known ??= new Set([...definedDomains(), ...runningDomains()].map(domain => domain.uuid));
      // libvirt lists a transient machine only when its start is almost done.
      return known.has(uuid) || existsSync(startPath(uuid));
    },
  };
}

/**
 * Writes the hostsfile and the file of names as the ledger and libvirt's networks have them, and tells
 * dnsmasq.
 */
export async function syncReservations(network: ReservedNetwork): Promise<void> {
  const { bridge } = network;
  await withLedgerLock(() => {
    const { reservations, names } = readWanted(network);
    const changed = withReservations(readHostsfile(network), reservations);
    if (changed !== null) writeHostsfile(bridge, changed);
    if (readNames(bridge) !== formatNames(names)) writeNames(bridge, names);
    tellDnsmasq(bridge);
  });
}

export { readHostsfile, readLedger };

/** The result of a change of the ledger. */
export interface LedgerChange<T> {
  readonly ledger: Ledger;
  readonly result: T;
}

/** Changes the ledger under its lock. Writes what changed. */
export async function changeLedger<T>(
  change: (ledger: Ledger) => LedgerChange<T> | Promise<LedgerChange<T>>,
): Promise<T> {
  return withSettledLedger(async () => {
    const { ledger, result } = await change(readLedger());
    writeLedger(ledger);
    return result;
  });
}

/** The reservations made. `told`: dnsmasq runs and has been told. */
export interface Stored extends Reserved {
  readonly told: boolean;
}

/**
 * Reserves addresses for a machine: they are on disk, dnsmasq has been told, and no lease of others is in the
 * way, when this returns. The ledger is written first: a process that is killed leaves the hostsfile to the
 * next one.
 */
export async function reserveMachine(
  network: NetworkConfig,
  machine: Machine,
  moment: Moment,
): Promise<Stored> {
  const { reserved, told } = await reserveMachines(network, [{ machine, moment }]);
  const [only] = reserved;
  if (only === undefined) throw new Error('a request has a result');
  return { ...only, told };
}

/**
 * Reserves addresses for several machines as `reserveMachine` does, in this order, with one lock and one signal
 * to dnsmasq. If it throws, nothing says for which of them it failed.
 */
export async function reserveMachines(
  network: NetworkConfig,
  requests: readonly ReservationRequest[],
): Promise<{ readonly reserved: readonly Reserved[]; readonly told: boolean }> {
  const { bridge } = network;
  const answered = new Set<Ipv4>();
  const attempt = () =>
    decideTogether(network, requests, { ...readDecisionInput(network), answered }, new Date());
  const first = await decideByAsking(askBridge(bridge), answered, attempt, ({ reserved, reading }) =>
    withLeases(reserved.flatMap(newAddresses), reading),
  );
  const stored = await storeAttempt(bridge, first, attempt);
  const entries = stored.reserved.flatMap(each => each.entries);
  await endLeasesInTheWay(network, promisedTo(entries, handLines(first.reading.hostsfile, network)));
  return stored;
}

/** Writes what is decided anew under the lock: the files may have changed since the first decision. */
async function storeAttempt(bridge: string, first: Decisions, attempt: () => Decisions) {
  // Most machines start with everything in place. Reading needs no lock, because each file is replaced
  // atomically.
  if (isWritten(first, bridge) && isSettled()) return tell(first, bridge);
  try {
    return await withSettledLedger(() => {
      const decisions = attempt();
      const { ledger, hostsfile, names } = decisions;
      writeLedger(ledger);
      if (hostsfile !== null) writeHostsfile(bridge, hostsfile);
      if (names !== null) writeNames(bridge, names);
      return tell(decisions, bridge);
    });
  } catch (error) {
    // On a full disk, another machine's entry may have left the index unfinished.
    if (isOutOfSpace((error as Error).cause ?? error) && isWritten(first, bridge)) return tell(first, bridge);
    throw error;
  }
}

/** Longest waits for an answer. The machine's start waits meanwhile; on one host it takes a millisecond. */
const answerWaitMs = 20;
const leasedAnswerWaitMs = 250;

/** Returns a function that asks on a bridge which of some addresses somebody has, other than their own MACs. */
export function askBridge(bridge: string): (addresses: readonly AddressToAsk[]) => Promise<Ipv4[]> {
  return async addresses => {
    // The host does not answer itself.
    const own = hostAddresses();
    const isOwn = ({ ip }: AddressToAsk) => own.includes(formatIp(ip));
    const ofHost = addresses.filter(isOwn).map(({ ip }) => ip);
    if (listDirectory(`/sys/class/net/${bridge}/brif`).length === 0) return ofHost;
    const others = addresses.filter(address => !isOwn(address));
    const leased = others.filter(({ isLeased }) => isLeased);
    const free = others.filter(({ isLeased }) => !isLeased);
    const answered = await Promise.all([
      answeredByOthers(bridge, leased, leasedAnswerWaitMs),
      answeredByOthers(bridge, free, answerWaitMs),
    ]);
    return [...ofHost, ...answered.flat()];
  };
}

async function answeredByOthers(
  bridge: string,
  addresses: readonly AddressToAsk[],
  waitMs: number,
): Promise<Ipv4[]> {
  // Loaded only when a machine is new.
  const { askNeighbours } = await import('../system/neighbours.ts');
  const ips = addresses.map(({ ip }) => formatIp(ip));
  const answers = await askNeighbours(ips, bridge, waitMs);
  return addresses.flatMap(({ ip, macs }) => {
    const mac = answers.get(formatIp(ip));
    return mac === undefined || macs.some(own => own === mac) ? [] : [ip];
  });
}

/** Returns addresses with whether they are leased. */
export function withLeases(
  addresses: readonly PromisedAddress[],
  { leases }: Pick<DecisionInput, 'leases'>,
): AddressToAsk[] {
  if (addresses.length === 0) return [];
  const leased = new Set(leases().map(lease => lease.ip));
  return addresses.map(address => ({ ...address, isLeased: leased.has(address.ip) }));
}

/**
 * Reserves an address for a probe that nobody answers for, only in the hostsfile and until `dropProbe`. The lease of
 * somebody who has it and does not answer is ended. Returns null when no address can be spared.
 */
export async function reserveProbe(
  network: NetworkConfig,
  { mac, hostname }: { readonly mac: Mac; readonly hostname: string },
): Promise<{ readonly ip: Ipv4; readonly told: boolean } | null> {
  const { bridge } = network;
  const read = () => {
    const reading = readDecisionInput(network);
    const hostsfile = withoutProbe(reading.hostsfile);
    const proposed = probeAddresses(network, mac, { ...reading, hostsfile }, new Date());
    return { reading, hostsfile, proposed };
  };
  const first = read();
  const toAsk = first.proposed.map(ip => ({ ip, macs: [mac], hostname: null }));
  const answered = await askBridge(bridge)(withLeases(toAsk, first.reading));
  const reserved = await withSettledLedger(() => {
    const { hostsfile, proposed } = read();
    const ip = proposed.find(each => first.proposed.includes(each) && !answered.includes(each));
    if (ip === undefined) return null;
    writeHostsfile(bridge, withProbe(hostsfile, { macs: [mac], ip, hostname }) ?? hostsfile);
    return { ip, told: tellDnsmasq(bridge) };
  });
  if (reserved !== null) await endLeasesInTheWay(network, [{ ip: reserved.ip, macs: [mac] }]);
  return reserved;
}

/** Returns whether a hostsfile has the line of a probe. */
export function hasProbe(network: Pick<NetworkConfig, 'name' | 'bridge'>): boolean {
  return withProbe(readHostsfile(network), null) !== null;
}

/** Removes the line of a probe from a hostsfile, if there is one. */
export async function dropProbe(network: Pick<NetworkConfig, 'name' | 'bridge'>): Promise<void> {
  if (!hasProbe(network)) return;
  await withLedgerLock(() => {
    const without = withProbe(readHostsfile(network), null);
    if (without === null) return;
    writeHostsfile(network.bridge, without);
    tellDnsmasq(network.bridge);
  });
}

/** Returns whether all that was decided is on disk, if no other process changes the ledger meanwhile. */
function isWritten({ reading, ledger, hostsfile, names }: Decisions, bridge: string): boolean {
  const areFiles = hostsfile === null && names === null && existsSync(dnsmasqPaths(bridge).hostsfile);
  return areFiles && (ledger === reading.ledger || ledger.changes().length === 0);
}

function tell({ reserved }: Decisions, bridge: string) {
  return { reserved, told: tellDnsmasq(bridge) };
}

/** Runs `work` under the ledger's lock, with a ledger that can be written. */
function withSettledLedger<T>(work: () => T | Promise<T>): Promise<T> {
  return withLedgerLock(async () => {
    if (!isSettled()) {
      const { settleLedger } = await import('./ledger-rebuild.ts');
      settleLedger();
    }
    return work();
  });
}

function withLedgerLock<T>(work: () => T | Promise<T>): Promise<T> {
  return withLock(paths.ledgerLock, ledgerLockTimeoutSeconds, work);
}
