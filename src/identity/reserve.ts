import { broadcastOf, formatIp, type Ipv4, prefixContains } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import type { NetworkConfig } from '../config/config.ts';
import type { HandLine, Reservation } from '../dnsmasq/hostsfile.ts';
import { isCurrent, type Lease } from '../dnsmasq/leases.ts';
import { machineLabel } from '../names/label.ts';
import { excerpt } from '../text.ts';
import { formulaAddress, isFormulaMac, type NicKey } from './formula.ts';
import type { Ledger, LedgerEntry, MacOrigin } from './ledger.ts';
import type { Machine } from './machine.ts';
import { makePool, type Pool } from './pool.ts';

/** All that a decision on a machine's addresses rests on. */
export interface Circumstances {
  readonly network: NetworkConfig;
  readonly byHand: readonly HandLine[];
  /** Read only when an address is given out anew. */
  readonly leases: () => readonly Lease[];
  /** Whether libvirt still knows the machine; asked only when another's entry is in the way. */
  readonly isKnown: (uuid: string) => boolean;
  readonly now: Date;
}

/** What was decided on a machine, for the log. */
export type ReserveEvent =
  | { readonly event: 'reserved' | 'changed'; readonly entry: LedgerEntry }
  | { readonly event: 'problem'; readonly entry: LedgerEntry; readonly problem: string };

export interface Reserved {
  readonly ledger: Ledger;
  /** The machine's entries, one for each of its NICs on the network, in XML order. */
  readonly entries: readonly LedgerEntry[];
  /** Other entries that changed: they had to let go of a MAC or an address, or their machine was renamed. */
  readonly others: readonly LedgerEntry[];
  readonly events: readonly ReserveEvent[];
}

/** How many earlier MACs of a NIC stay reserved: enough for a few snapshots, few enough for one line. */
const macsKept = 4;

const hour = 3_600_000;

/** Longest name that a message repeats. */
const maxNameLength = 40;

/**
 * Gives each NIC of a machine its reservation, or finds the one it has. `booting` says that it starts right now with
 * the MACs it has. Throws DamagedLedger.
 */
export function reserve(
  ledger: Ledger,
  machine: Machine,
  moment: 'booting' | 'defined',
  circumstances: Circumstances,
): Reserved {
  // The ledger keeps whole seconds, and an entry is the same before it is written and when it is read again.
  const now = new Date(Math.floor(circumstances.now.getTime() / 1000) * 1000);
  const around = { ...circumstances, now };
  const before = matchEntries(ledger, machine, around);
  const entries: LedgerEntry[] = [];
  const robbed: LedgerEntry[] = [];
  const events: ReserveEvent[] = [];
  let result = ledger;
  // Settling one NIC may take a MAC or an address from the entry of another.
  const asItIsNow = (entry: LedgerEntry) =>
    result.ofMachine(entry.network, entry.uuid).find(other => isSame(other, entry)) ?? entry;
  for (const [nic, mac] of machine.macs.entries()) {
    const matched = before[nic];
    const found = matched === undefined ? null : asItIsNow(matched);
    const settled = settle(result, machine, { nic, mac, found, moment, twins: entries }, around);
    result = settled.ledger.replace(found, settled.entry);
    entries.push(settled.entry);
    robbed.push(...settled.robbed);
    events.push(...settled.events);
  }
  if (before.some(entry => entry?.uuid === machine.uuid && entry.name !== machine.name)) {
    for (const entry of result.ofMachine(around.network.name, machine.uuid)) {
      if (entry.retired !== null || entry.name === machine.name) continue;
      const renamed = rename(result, machine, entry, around);
      result = result.replace(entry, renamed);
      robbed.push(renamed);
    }
  }
  // Each look costs a search of the whole ledger, and a machine with one NIC that takes nothing from others is the rule.
  if (entries.length === 1 && robbed.length === 0) return { ledger: result, entries, others: [], events };
  const others = robbed.filter(entry => ![...before, ...entries].some(own => own && isSame(own, entry)));
  return { ledger: result, entries: entries.map(asItIsNow), others: others.map(asItIsNow), events };
}

/** The line of dnsmasq's hostsfile that an entry calls for; null when it has no address, or another line speaks for its MAC. */
export function reservationOf(entry: LedgerEntry, spokenFor: readonly HandLine[]): Reservation | null {
  const macs = entry.macs.filter(mac => !spokenFor.some(line => line.macs.includes(mac)));
  return entry.ip === null || entry.retired !== null || macs.length === 0 || macs[0] !== entry.macs[0]
    ? null
    : { macs, ip: entry.ip, hostname: entry.hostname };
}

export function poolOf(network: NetworkConfig): Pool {
  return makePool(network.range, [network.gateway, ...network.hosts.map(host => host.ip)]);
}

/** Which entry is each NIC's: known by its MAC first, by its place second, and at last by the name of a machine that is gone. */
function matchEntries(ledger: Ledger, machine: Machine, around: Circumstances): (LedgerEntry | undefined)[] {
  const { name } = around.network;
  const own = ledger.ofMachine(name, machine.uuid);
  const matched: (LedgerEntry | undefined)[] = machine.macs.map(() => undefined);
  const match = (isIts: (entry: LedgerEntry, nic: number, mac: Mac) => boolean) => {
    for (const [nic, mac] of machine.macs.entries())
      matched[nic] ??= own.find(entry => !matched.includes(entry) && isIts(entry, nic, mac));
  };
  match((entry, _, mac) => entry.macs[0] === mac);
  match((entry, _, mac) => entry.macs.includes(mac));
  match((entry, nic) => entry.nic === nic);
  if (own.length === 0) {
    const heritage = ledger
      .named(name, machine.name)
      .filter(
        entry => entry.uuid !== machine.uuid && (entry.retired !== null || !around.isKnown(entry.uuid)),
      );
    for (const nic of machine.macs.keys()) matched[nic] ??= heritage.find(entry => entry.nic === nic);
  }
  return matched;
}

interface NicAtHand {
  readonly nic: number;
  readonly mac: Mac;
  readonly found: LedgerEntry | null;
  readonly moment: 'booting' | 'defined';
  /** The entries just settled for the machine's earlier NICs. */
  readonly twins: readonly LedgerEntry[];
}

function settle(
  ledger: Ledger,
  machine: Machine,
  { nic, mac, found, moment, twins }: NicAtHand,
  around: Circumstances,
): { ledger: Ledger; entry: LedgerEntry; robbed: LedgerEntry[]; events: ReserveEvent[] } {
  const { network, now } = around;
  const key: NicKey = { network: network.name, machine: machine.name, nic: found?.nic ?? nic };
  const claim = claimMac(ledger, mac, found, twins, around);
  const known = { key, mac, found };
  const hostname = chooseHostname(claim.ledger, machine, known, around);
  const address: Chosen<Ipv4 | null> =
    claim.owner === null
      ? chooseAddress(claim.ledger, machine, known, around)
      : {
          value: null,
          problem: `MAC ${mac} is also that of ${holderName(claim.owner, machine)}: give one of them another`,
        };
  const ip = address.value;

  const problem =
    [address.problem, hostname.problem, ...machine.wishes.problems].find(text => text !== null) ?? null;
  const isAnothers = (own: Mac) => claim.ledger.withMac(own).some(other => !(found && isSame(other, found)));
  const earlierMacs = (found?.macs ?? []).filter(own => own !== mac && !isAnothers(own));
  const entry: LedgerEntry = {
    network: network.name,
    uuid: machine.uuid,
    name: machine.name,
    nic: key.nic,
    macs: [mac, ...earlierMacs].slice(0, macsKept),
    mac: macOrigin(key, mac, found),
    ip,
    hostname: hostname.value,
    firstSeen: found?.firstSeen ?? now,
    lastSeen: found !== null && now.getTime() - found.lastSeen.getTime() < hour ? found.lastSeen : now,
    booted: moment === 'booting' || (found?.booted ?? false),
    retired: null,
    problem,
  };

  let result = claim.ledger;
  const robbed = [...claim.robbed];
  for (const other of ip === null ? [] : result.withIp(ip)) {
    if (found && isSame(other, found)) continue;
    result = result.replace(other, { ...other, ip: null });
    robbed.push(other);
  }

  const events: ReserveEvent[] = [];
  if (found === null) events.push({ event: 'reserved', entry });
  else if (found.ip !== ip || found.macs[0] !== mac || found.name !== machine.name)
    events.push({ event: 'changed', entry });
  if (problem !== null && problem !== found?.problem) events.push({ event: 'problem', entry, problem });
  return { ledger: result, entry, robbed, events };
}

/** The entry of a NIC that is not plugged in at present, by its machine's new name. */
function rename(ledger: Ledger, machine: Machine, entry: LedgerEntry, around: Circumstances): LedgerEntry {
  const { network, nic, macs, hostname } = entry;
  const [mac] = macs;
  const key: NicKey = { network, machine: machine.name, nic };
  const chosen =
    mac === undefined ? hostname : chooseHostname(ledger, machine, { key, mac, found: entry }, around).value;
  return { ...entry, name: machine.name, hostname: chosen };
}

function macOrigin(key: NicKey, mac: Mac, found: LedgerEntry | null): MacOrigin {
  if (found?.macs[0] === mac) return found.mac;
  if (isFormulaMac(key, mac)) return 'given';
  return found?.mac === 'due' ? 'due' : 'own';
}

/**
 * Whose MAC it is. An entry that has it from earlier, or whose machine is gone, lets go of it; one that boots with it
 * keeps it, and is returned as its owner.
 */
function claimMac(
  ledger: Ledger,
  mac: Mac,
  found: LedgerEntry | null,
  twins: readonly LedgerEntry[],
  around: Circumstances,
): { ledger: Ledger; owner: LedgerEntry | null; robbed: LedgerEntry[] } {
  let result = ledger;
  const robbed: LedgerEntry[] = [];
  for (const other of ledger.withMac(mac)) {
    if (found !== null && isSame(other, found)) continue;
    const isThere =
      twins.some(twin => isSame(twin, other)) || (other.retired === null && around.isKnown(other.uuid));
    if (isThere && other.macs[0] === mac && other.ip !== null) return { ledger, owner: other, robbed: [] };
    if (isThere && other.macs[0] === mac) continue;
    result = result.replace(other, { ...other, macs: other.macs.filter(own => own !== mac) });
    robbed.push(other);
  }
  return { ledger: result, owner: null, robbed };
}

interface Chosen<T> {
  readonly value: T;
  readonly problem: string | null;
}

function chooseHostname(
  ledger: Ledger,
  machine: Machine,
  { key, mac, found }: { key: NicKey; mac: Mac; found: LedgerEntry | null },
  { network, byHand }: Circumstances,
): Chosen<string> {
  const taken = (label: string) =>
    network.hosts.some(host => host.name === label && host.mac !== mac) ||
    byHand.some(line => line.hostname === label && !line.macs.includes(mac)) ||
    ledger
      .withHostname(network.name, label)
      .some(entry => entry.retired === null && !(found && isSame(entry, found)));
  const wish = key.nic === 0 ? machine.wishes.hostname : null;
  if (wish !== null && !taken(wish)) return { value: wish, problem: null };
  const problem = wish === null ? null : `its hostname ${wish} is taken: choose another in its metadata`;
  const isSettled = found !== null && found.name === machine.name && !taken(found.hostname);
  return { value: isSettled ? found.hostname : machineLabel(machine.name, key.nic, taken), problem };
}

function chooseAddress(
  ledger: Ledger,
  machine: Machine,
  { key, mac, found }: { key: NicKey; mac: Mac; found: LedgerEntry | null },
  around: Circumstances,
): Chosen<Ipv4 | null> {
  const { network, byHand } = around;
  const fixed =
    byHand.find(line => line.macs.includes(mac))?.ip ?? network.hosts.find(host => host.mac === mac)?.ip;
  if (fixed != null) return { value: fixed, problem: null };

  const isTheHosts = (ip: Ipv4) =>
    [network.gateway, network.subnet.network, broadcastOf(network.subnet)].includes(ip);
  const isPromised = (ip: Ipv4) =>
    network.hosts.some(host => host.ip === ip) || byHand.some(line => line.ip === ip);
  const holders = (ip: Ipv4) => ledger.withIp(ip).filter(entry => found === null || !isSame(entry, found));
  const isUsable = (ip: Ipv4) => prefixContains(network.subnet, ip) && !isTheHosts(ip) && !isPromised(ip);

  const wish = key.nic === 0 ? machine.wishes.ip : null;
  let problem: string | null = null;
  if (wish !== null) {
    const holder = holders(wish).find(entry => entry.retired === null);
    if (isUsable(wish) && holder === undefined) return { value: wish, problem: null };
    const why =
      holder !== undefined && isUsable(wish)
        ? `is that of ${holderName(holder, machine)}`
        : 'is not free on this network';
    problem = `its address ${formatIp(wish)} ${why}: choose another in its metadata`;
  }
  if (found?.ip != null && isUsable(found.ip) && holders(found.ip).every(entry => entry.retired !== null)) {
    return { value: found.ip, problem };
  }

  const isGiven = ledger.addressTest();
  const leased = new Set(
    around
      .leases()
      .filter(lease => lease.mac !== mac && isCurrent(lease, around.now))
      .map(lease => lease.ip),
  );
  const free = formulaAddress(key, poolOf(network), ip => isGiven(ip) || leased.has(ip) || isPromised(ip));
  if (free !== null) return { value: free, problem };
  const oldest = longestRetired(ledger, network, ip => isUsable(ip) && !leased.has(ip));
  if (oldest !== null) return { value: oldest, problem };
  return {
    value: null,
    problem: 'no address is free in dhcp-range: widen it, or forget machines that are gone',
  };
}

function longestRetired(
  ledger: Ledger,
  network: NetworkConfig,
  isUsable: (ip: Ipv4) => boolean,
): Ipv4 | null {
  const retired = ledger
    .entries()
    .flatMap(({ network: on, ip, retired: since }) =>
      on === network.name && ip !== null && since ? [{ ip, since }] : [],
    )
    .filter(({ ip }) => isUsable(ip) && ledger.withIp(ip).every(entry => entry.retired !== null));
  return retired.sort((a, b) => a.since.getTime() - b.since.getTime())[0]?.ip ?? null;
}

/** A place can be that of two NICs, one of which was there before the other came in front of it; then their names differ. */
function isSame(a: LedgerEntry, b: LedgerEntry): boolean {
  return a.network === b.network && a.uuid === b.uuid && a.nic === b.nic && a.hostname === b.hostname;
}

function holderName(entry: LedgerEntry, machine: Machine): string {
  return entry.uuid === machine.uuid ? 'another of its NICs' : excerpt(entry.name, maxNameLength);
}
