// Matches NICs with ledger entries, and decides which entry owns a MAC.
import type { Mac } from '../address/mac.ts';
import { exists, holderOf, isSameNic, othersThan, type ReserveContext } from './context.ts';
import type { Ledger } from './ledger.ts';
import type { LedgerEntry } from './ledger-format.ts';
import type { Machine } from './machine.ts';
import type { Holder } from './problem.ts';
import type { TrailStep } from './trail.ts';

export interface EntryMatch {
  readonly entry: LedgerEntry | null;
  readonly why: Extract<TrailStep, { kind: 'entry' }>;
}

/**
 * Returns the entry of each of a machine's NICs: found by its MAC, then by an earlier MAC, then by its index.
 * A machine without any entry inherits those of a machine of its name that no longer exists.
 */
export function matchEntries(ledger: Ledger, machine: Machine, context: ReserveContext): EntryMatch[] {
  const own = ledger.ofMachine(context.network.name, machine.uuid);
  if (own.length > 0) return matchOwnEntries(own, machine.macs);
  const inherited = predecessors(ledger, machine, context);
  return matchInOrder(machine.macs, [['name', inherited, (entry, nic) => entry.nic === nic]]);
}

/** Returns which of a machine's own entries belongs to each of the NICs that have these MACs. */
export function matchOwnEntries(own: readonly LedgerEntry[], macs: readonly Mac[]): EntryMatch[] {
  return matchInOrder(macs, [
    ['current-mac', own, (entry, _, mac) => entry.macs[0] === mac],
    ['earlier-mac', own, (entry, _, mac) => entry.macs.includes(mac)],
    ['place', own, (entry, nic) => entry.nic === nic],
  ]);
}

/** Returns those of a machine's own entries whose NICs, with these MACs, it has. */
export function pluggedEntries(own: readonly LedgerEntry[], macs: readonly Mac[]): LedgerEntry[] {
  return matchOwnEntries(own, macs).flatMap(({ entry }) => entry ?? []);
}

/** A way to find the entry of a NIC among candidates. */
type Way = readonly [
  reason: EntryMatch['why']['reason'],
  candidates: readonly LedgerEntry[],
  isMatch: (entry: LedgerEntry, nic: number, mac: Mac) => boolean,
];

/** Tries each way for all NICs before the next. No entry is matched twice. */
function matchInOrder(macs: readonly Mac[], ways: readonly Way[]): EntryMatch[] {
  const matches = new Map<number, EntryMatch>();
  const matched = new Set<LedgerEntry>();
  for (const [reason, candidates, isMatch] of ways) {
    for (const [nic, mac] of macs.entries()) {
      if (matches.has(nic)) continue;
      const entry = candidates.find(each => !matched.has(each) && isMatch(each, nic, mac));
      if (entry === undefined) continue;
      matched.add(entry);
      matches.set(nic, { entry, why: { kind: 'entry', reason } });
    }
  }
  return macs.map((_, nic) => matches.get(nic) ?? { entry: null, why: { kind: 'entry', reason: 'none' } });
}

/**
 * Returns the entries of machines of the same name that no longer exist. In a cluster there are none: two hosts
 * could inherit one address while they do not hear from each other.
 */
function predecessors(ledger: Ledger, machine: Machine, context: ReserveContext): LedgerEntry[] {
  const { name, sharesLedger } = context.network;
  if (sharesLedger) return [];
  return ledger
    .named(name, machine.name)
    .filter(entry => entry.uuid !== machine.uuid && !exists(entry, context));
}

export interface Claim {
  readonly ledger: Ledger;
  /** The one that keeps the MAC, so that this NIC cannot have an address; null when the NIC has it. */
  readonly holder: Holder | null;
  /** The entries that released it, in their state before. */
  readonly displaced: readonly LedgerEntry[];
  readonly why: readonly TrailStep[];
}

/**
 * The NIC that claims a MAC: its machine, its entry if it has one, and those of the machine's earlier NICs.
 */
export interface Claimant {
  readonly uuid: string;
  readonly found: LedgerEntry | null;
  readonly siblings: readonly LedgerEntry[];
}

/**
 * Decides which entry owns a MAC on a network, if not the host: a NIC can move to another network with its MAC. An
 * entry that had it earlier, or whose machine no longer exists, releases it. An entry that has it now and has an
 * address keeps it.
 */
export function claimMac(
  ledger: Ledger,
  mac: Mac,
  { uuid, found, siblings }: Claimant,
  context: ReserveContext,
): Claim {
  const heldBy = (holder: Holder): Claim => ({
    ledger,
    holder,
    displaced: [],
    why: [{ kind: 'claim', mac, holder, outcome: 'held' }],
  });
  if (context.hostMacs.includes(mac)) return heldBy({ kind: 'gateway' });
  let result = ledger;
  const displaced: LedgerEntry[] = [];
  const why: TrailStep[] = [];
  for (const other of othersThan(found, ledger.withMacOn(context.network.name, mac))) {
    const isThere = siblings.some(sibling => isSameNic(sibling, other)) || exists(other, context);
    const hasItNow = isThere && other.macs[0] === mac;
    const holder = holderOf(other, uuid);
    // Both got it while their hosts did not hear from each other. The machine may run.
    const hasBoth = other.host !== null && found?.macs[0] === mac && found.ip !== null;
    if (hasItNow && other.ip !== null && !hasBoth) return heldBy(holder);
    if (hasItNow || other.host !== null) continue;
    result = result.replace(other, { ...other, macs: other.macs.filter(own => own !== mac) });
    displaced.push(other);
    why.push({ kind: 'claim', mac, holder, outcome: 'released' });
  }
  return { ledger: result, holder: null, displaced, why };
}
