// Reservations of one machine on one network: each NIC gets its entry in the ledger, or keeps the one it has.
import { isDeepStrictEqual } from 'node:util';
import type { Mac } from '../address/mac.ts';
import type { RefusedAlias } from './alias-refusal.ts';
import { chooseAddress } from './choose-address.ts';
import { chooseAliases } from './choose-aliases.ts';
import { chooseHostname } from './choose-hostname.ts';
import { isSameNic, type Moment, othersThan, type ReserveContext } from './context.ts';
import { findFirstNic } from './first-nic.ts';
import { isFormulaMac, type NicKey } from './formula.ts';
import type { Ledger } from './ledger.ts';
import type { LedgerEntry, MacOrigin } from './ledger-format.ts';
import type { Machine } from './machine.ts';
import { claimMac, type EntryMatch, matchEntries } from './match-entries.ts';
import type { Nic } from './nic.ts';
import type { Holder, ReservationProblem } from './problem.ts';
import type { TrailStep } from './trail.ts';

/** A decision as an event, for the log and the metrics. */
export type ReserveEvent =
  | { readonly kind: 'reserved' | 'changed'; readonly entry: LedgerEntry }
  | { readonly kind: 'alias-refused'; readonly entry: LedgerEntry; readonly refused: RefusedAlias }
  | { readonly kind: 'problem'; readonly entry: LedgerEntry; readonly problem: ReservationProblem };

export interface Reserved {
  readonly ledger: Ledger;
  /** The machine's entries, one for each of its NICs on the network, in XML order. */
  readonly entries: readonly LedgerEntry[];
  /** For each of these entries, the one that its NIC had, with its host then; null for a NIC that had none. */
  readonly before: readonly (LedgerEntry | null)[];
  /** For each of these entries, the decisions that led to it. */
  readonly why: readonly (readonly TrailStep[])[];
  /** Other entries that changed: they released a MAC or an address, or their machine was renamed. */
  readonly displaced: readonly LedgerEntry[];
  readonly events: readonly ReserveEvent[];
}

/** Most MACs of a NIC that stay reserved: enough for a few snapshots. */
const maxMacs = 4;

const hourMs = 3_600_000;

/** Reserves addresses for the NICs of a machine. Throws VirlanError 'damaged-file'. */
export function reserve(
  known: Ledger,
  machine: Machine,
  moment: Moment,
  { now: exactly, isKnown: isListed, ...rest }: Omit<ReserveContext, 'moment'>,
): Reserved {
  // The ledger keeps whole seconds: an entry is the same before it is written and after it is read again.
  const now = new Date(Math.floor(exactly.getTime() / 1000) * 1000);
  const isKnown = (uuid: string) => uuid === machine.uuid || isListed(uuid);
  const context = { ...rest, moment, now, isKnown };
  const ledger = takeOver(known, machine, context);
  if (ledger === null) return { ledger: known, entries: [], before: [], why: [], displaced: [], events: [] };
  const takenFrom = hostOf(known, machine, context);
  const matches = matchEntries(ledger, machine, context);
  const entries: LedgerEntry[] = [];
  const before: (LedgerEntry | null)[] = [];
  const events: ReserveEvent[] = [];
  const why: TrailStep[][] = [];
  const cleared = findFirstNic(ledger, machine, matches, context);
  const displaced: LedgerEntry[] = [...cleared.changed];
  let result = cleared.ledger;
  for (const [nic, mac] of machine.macs.entries()) {
    const match = matches[nic];
    // An earlier NIC of the machine may have taken a MAC or an address from this entry.
    const found = match === undefined || match.entry === null ? null : present(result, match.entry);
    const isFirst = nic === cleared.first;
    const resolved = resolveNic(result, machine, { nic, mac, found, isFirst, siblings: entries }, context);
    result = resolved.ledger.replace(found, resolved.entry);
    entries.push(resolved.entry);
    before.push(found?.uuid === machine.uuid ? { ...found, host: takenFrom } : found);
    displaced.push(...resolved.displaced);
    events.push(...resolved.events);
    why.push([...(match === undefined ? [] : [match.why]), ...resolved.why]);
  }
  const renamed = renameOthers(result, machine, matches, context);
  result = renamed.ledger;
  displaced.push(...renamed.entries);
  // Most machines have one NIC that takes nothing from others.
  if (entries.length === 1 && displaced.length === 0)
    return { ledger: result, entries, before, why, displaced, events };
  const own = [...matches.flatMap(({ entry }) => entry ?? []), ...entries];
  const others = displaced.filter(entry => !own.some(each => isSameNic(each, entry)));
  return {
    ledger: result,
    entries: entries.map(entry => present(result, entry) ?? entry),
    before,
    why,
    displaced: others.map(entry => present(result, entry) ?? entry),
    events,
  };
}

/**
 * Returns the ledger with the entries of a machine as this host's, if another one had them. Null while that has
 * them still: a machine that is only defined on both is that of the host where it runs.
 */
function takeOver(ledger: Ledger, { uuid }: Machine, { network, moment }: ReserveContext): Ledger | null {
  const elsewhere = ledger.ofMachine(network.name, uuid).filter(({ host }) => host !== null);
  if (moment !== 'booting' && elsewhere.some(({ retired }) => retired === null)) return null;
  return elsewhere.reduce((rest, entry) => rest.replace(entry, { ...entry, host: null }), ledger);
}

/** Returns the other host that has a machine's entries; null for none. */
function hostOf(ledger: Ledger, { uuid }: Machine, { network }: ReserveContext): LedgerEntry['host'] {
  return ledger.ofMachine(network.name, uuid).find(({ host }) => host !== null)?.host ?? null;
}

function present(ledger: Ledger, entry: LedgerEntry): LedgerEntry | null {
  return ledger.ofMachine(entry.network, entry.uuid).find(other => isSameNic(other, entry)) ?? null;
}

/** Renames the entries of NICs that are not plugged in at present after the machine was renamed. */
function renameOthers(
  ledger: Ledger,
  machine: Machine,
  matches: readonly EntryMatch[],
  context: ReserveContext,
): { ledger: Ledger; entries: LedgerEntry[] } {
  const isRenamed = matches.some(
    ({ entry }) => entry !== null && entry.uuid === machine.uuid && entry.name !== machine.name,
  );
  const entries: LedgerEntry[] = [];
  let result = ledger;
  if (!isRenamed) return { ledger, entries };
  for (const entry of ledger.ofMachine(context.network.name, machine.uuid)) {
    if (entry.retired !== null || entry.name === machine.name) continue;
    const renamed = {
      ...entry,
      name: machine.name,
      hostname: renamedHostname(result, machine, entry, context),
    };
    result = result.replace(entry, renamed);
    entries.push(renamed);
  }
  return { ledger: result, entries };
}

function renamedHostname(
  ledger: Ledger,
  machine: Machine,
  entry: LedgerEntry,
  context: ReserveContext,
): string {
  const [mac] = entry.macs;
  if (mac === undefined) return entry.hostname;
  const key = { network: entry.network, machine: machine.name, nic: entry.nic };
  const nic = { key, uuid: machine.uuid, mac, found: entry, wishes: machine.wishes, isFirst: false };
  return chooseHostname(ledger, nic, context).hostname;
}

interface PluggedNic {
  readonly nic: number;
  readonly mac: Mac;
  readonly found: LedgerEntry | null;
  readonly isFirst: boolean;
  /** The new entries of the machine's earlier NICs. */
  readonly siblings: readonly LedgerEntry[];
}

interface Resolved {
  /** The ledger without the new entry. */
  readonly ledger: Ledger;
  readonly entry: LedgerEntry;
  readonly displaced: readonly LedgerEntry[];
  readonly events: readonly ReserveEvent[];
  readonly why: readonly TrailStep[];
}

function resolveNic(
  ledger: Ledger,
  machine: Machine,
  { nic: index, mac, found, isFirst, siblings }: PluggedNic,
  context: ReserveContext,
): Resolved {
  const { name, uuid, wishes } = machine;
  const key: NicKey = { network: context.network.name, machine: name, nic: found?.nic ?? index };
  const nic: Nic = { key, uuid, mac, found, wishes, isFirst };
  const claim = claimMac(ledger, mac, { uuid, found, siblings }, context);
  const hostname = chooseHostname(claim.ledger, nic, context);
  const { aliases, refused } = chooseAliases(claim.ledger, nic, hostname.hostname, context);
  const address =
    claim.holder === null ? chooseAddress(claim.ledger, nic, context) : withoutAddress(nic, claim.holder);
  const problem = address.problem ?? hostname.problem ?? wishes.problems[0] ?? keptProblem(found);
  const entry: LedgerEntry = {
    network: key.network,
    uuid,
    name,
    nic: key.nic,
    macs: currentMacs(claim.ledger, nic),
    macOrigin: macOrigin(nic),
    replacedMac: replacedMac(nic, context.moment),
    ip: address.address,
    hostname: hostname.hostname,
    aliases,
    refusedAliases: refused,
    boot: chooseBoot(nic, context),
    group: wishes.group,
    isolated: machine.isolated.has(mac),
    ...seenAt(found, context.now),
    booted: context.moment === 'booting' || (found?.booted ?? false),
    retired: null,
    problem,
    host: null,
    revision: found?.revision ?? null,
  };
  const released = releaseAddress(claim.ledger, entry, found);
  return {
    ledger: released.ledger,
    entry,
    displaced: [...claim.displaced, ...released.displaced],
    events: eventsOf(found, entry),
    why: [...claim.why, hostname.why, address.why],
  };
}

/** Of a problem with another host, only the one that found it knows when it is over. */
function keptProblem(found: LedgerEntry | null): ReservationProblem | null {
  const problem = found?.problem ?? null;
  return problem?.kind === 'name-taken' || problem?.kind === 'runs-elsewhere' ? problem : null;
}

/** virlan.ini is the administrator's, and comes first. */
function chooseBoot({ key, wishes }: Nic, { network }: ReserveContext): LedgerEntry['boot'] {
  return network.machines.find(({ name }) => name === key.machine)?.boot ?? wishes.boot;
}

function withoutAddress({ mac }: Nic, holder: Holder) {
  const why = { kind: 'address', address: null, reason: 'mac-taken', skipped: [], skippedCount: 0 } as const;
  return { address: null, problem: { kind: 'mac-taken', mac, holder } as const, why };
}

/** Returns the present MAC, then earlier ones that no other NIC has now. */
function currentMacs(ledger: Ledger, { key, mac, found }: Nic): Mac[] {
  const belongsToOther = (own: Mac) => othersThan(found, ledger.withMacOn(key.network, own)).length > 0;
  const earlier = (found?.macs ?? []).filter(own => own !== mac && !belongsToOther(own));
  return [mac, ...earlier].slice(0, maxMacs);
}

function macOrigin({ key, mac, found }: Nic): MacOrigin {
  if (found?.macs[0] === mac) return found.macOrigin;
  if (isFormulaMac(key, mac)) return 'given';
  return found?.macOrigin === 'due' ? 'due' : 'own';
}

function replacedMac({ mac, found }: Nic, moment: Moment): Mac | null {
  const replaced = typeof moment === 'object' ? moment.replaced.get(mac) : undefined;
  return replaced ?? (found?.macs[0] === mac ? found.replacedMac : null);
}

function seenAt(found: LedgerEntry | null, now: Date): Pick<LedgerEntry, 'firstSeen' | 'lastSeen'> {
  if (found === null) return { firstSeen: now, lastSeen: now };
  const isRecent = now.getTime() - found.lastSeen.getTime() < hourMs;
  return { firstSeen: found.firstSeen, lastSeen: isRecent ? found.lastSeen : now };
}

/**
 * Takes an entry's address from every other entry of this host that has it. A retired one holds nothing more, and
 * is dropped.
 */
function releaseAddress(
  ledger: Ledger,
  { network, ip }: LedgerEntry,
  found: LedgerEntry | null,
): { ledger: Ledger; displaced: LedgerEntry[] } {
  const others = ip === null ? [] : othersThan(found, ledger.withIp(network, ip));
  const displaced = others.filter(({ host }) => host === null);
  const result = displaced.reduce(
    (rest, other) => rest.replace(other, other.retired === null ? { ...other, ip: null } : null),
    ledger,
  );
  return { ledger: result, displaced };
}

function eventsOf(found: LedgerEntry | null, entry: LedgerEntry): ReserveEvent[] {
  const events: ReserveEvent[] = [];
  if (found === null) events.push({ kind: 'reserved', entry });
  else if (
    found.ip !== entry.ip ||
    found.macs[0] !== entry.macs[0] ||
    found.name !== entry.name ||
    !isDeepStrictEqual([found.aliases, found.boot], [entry.aliases, entry.boot])
  ) {
    events.push({ kind: 'changed', entry });
  }
  const isNew = (refused: RefusedAlias) =>
    found?.refusedAliases.some(before => isDeepStrictEqual(before, refused)) !== true;
  for (const refused of entry.refusedAliases.filter(isNew))
    events.push({ kind: 'alias-refused', entry, refused });
  const { problem } = entry;
  if (problem !== null && !isDeepStrictEqual(problem, found?.problem)) {
    events.push({ kind: 'problem', entry, problem });
  }
  return events;
}
