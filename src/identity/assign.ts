// Chooses the MACs for the definition of a machine that is shut off. See "The MAC" in docs/identity.md.
// virt-install boots a machine before it defines it: such a machine keeps the random MAC of its first boot.
import { kvmPrefix, type Mac } from '../address/mac.ts';
import type { NetworkConfig } from '../config/config.ts';
import type { Nic } from '../libvirt/domain-xml.ts';
import { formulaMac, type NicKey } from './formula.ts';
import type { LedgerEntry } from './ledger-format.ts';
import type { Machine } from './machine.ts';
import { matchOwnEntries } from './match-entries.ts';
import { type MacSources, macHolder } from './taken-macs.ts';
import type { SkippedMac, TrailStep } from './trail.ts';

/** The input of the choice of a machine's MACs. */
export interface AssignContext extends MacSources {
  readonly network: NetworkConfig;
  /** The MACs by which the machine's system takes several NICs for one: see `pairedMacs`. */
  readonly paired: ReadonlySet<Mac>;
  /** The MACs that NICs of the machine have on other networks, those that are not virlan's included. */
  readonly onOthers: ReadonlySet<Mac>;
  /**
   * True if a managed-save image exists. It brings back the MACs that the machine was saved with, whatever its
   * definition has: a MAC that it never booted with has to wait until it starts without the image.
   */
  readonly hasImage: boolean;
}

/**
 * Returns the new MACs for a machine that is shut off: index among its NICs on the network → MAC. Empty when
 * all are right, or virlan must not change them.
 */
export function assignMacs(machine: Machine, context: AssignContext): Map<number, Mac> {
  const { network, ledger } = context;
  const changes = new Map<number, Mac>();
  if (network.macPolicy === 'keep' || machine.wishes.keepsMac) return changes;
  const entries = matchOwnEntries(ledger.ofMachine(network.name, machine.uuid), machine.macs);
  const nics = machine.macs.map((mac, index) => {
    const entry = entries[index]?.entry ?? null;
    return { index, mac, entry, due: decideDue(mac, entry, machine, context) };
  });
  const kept = nics.filter(({ due }) => due.kind === 'none').map(({ mac }) => mac);
  const taken = new Set([...context.onOthers, ...kept]);
  for (const { index, mac, entry, due } of nics) {
    const key = { network: network.name, machine: machine.name, nic: entry?.nic ?? index };
    const nic = { key, uuid: machine.uuid, current: mac, siblings: taken };
    const chosen = chooseDue(due, nic, context);
    taken.add(chosen);
    if (chosen !== mac) changes.set(index, chosen);
  }
  return changes;
}

/**
 * Returns whether a machine of another host of the cluster has a MAC: both got it while their hosts did not hear from
 * each other.
 */
function isHeldElsewhere(mac: Mac, { uuid }: Machine, { ledger, network }: AssignContext): boolean {
  return ledger
    .withMacOn(network.name, mac)
    .some(
      ({ macs, host, ...other }) =>
        host !== null && macs[0] === mac && other.uuid !== uuid && other.retired === null,
    );
}

/**
 * Returns whether a machine has booted with a MAC on another network: its NIC was moved, maybe in exchange for the one
 * that it booted with here, and its system may be configured for that MAC.
 */
function hasMovedWith(
  mac: Mac,
  entry: LedgerEntry | null,
  { uuid }: Machine,
  { ledger, network }: AssignContext,
): boolean {
  if (network.macPolicy === 'always' || entry?.macOrigin === 'due') return false;
  return ledger
    .ofUuid(uuid)
    .some(other => other.network !== network.name && other.booted && other.macs.includes(mac));
}

/**
 * Returns whether a machine has booted with a MAC under another UUID, which libvirt makes anew for a definition
 * without one: its disks may have stayed when it was undefined. Only one machine has a name at a time.
 */
function hasBootedBefore(
  mac: Mac,
  { name, uuid }: Machine,
  { ledger, network, isDefinedElsewhere }: AssignContext,
): boolean {
  if (network.macPolicy === 'always' || isDefinedElsewhere(mac, uuid)) return false;
  return ledger
    .named(network.name, name)
    .filter(each => each.uuid !== uuid && each.host === null)
    .some(each => each.booted && each.macOrigin !== 'due' && each.macs.includes(mac));
}

/**
 * The MAC that is due in a definition. `returned`: the one that the NIC had, if nobody else has it now. `other`: any of
 * the formula's but the one it has.
 */
type DueMac =
  | { readonly kind: 'none' }
  | { readonly kind: 'formula' }
  | { readonly kind: 'other' }
  | { readonly kind: 'returned'; readonly mac: Mac };

/** Decides about a MAC in a definition, which may have to wait. */
function decideDue(mac: Mac, entry: LedgerEntry | null, machine: Machine, context: AssignContext): DueMac {
  const due = decideUnsaved(mac, entry, machine, context);
  return context.hasImage && due.kind !== 'returned' ? { kind: 'none' } : due;
}

/** Decides about a MAC in the definition of a machine without a managed-save image. */
function decideUnsaved(
  mac: Mac,
  entry: LedgerEntry | null,
  machine: Machine,
  context: AssignContext,
): DueMac {
  if (isUsersChoice(mac, context)) return { kind: 'none' };
  if (isHeldElsewhere(mac, machine, context)) return { kind: 'other' };
  if (hasMovedWith(mac, entry, machine, context)) return { kind: 'none' };
  if (entry === null && hasBootedBefore(mac, machine, context)) return { kind: 'none' };
  const due = dueMac(mac, entry, context.network);
  // The NIC of this entry was moved with its MAC, and this one is new.
  return due.kind === 'returned' && context.onOthers.has(due.mac) ? { kind: 'formula' } : due;
}

/**
 * Decides about a MAC in a definition by what the ledger has for its NIC. A machine that has booted gets back
 * a MAC that it had, because its system may be configured for that. Before the first boot, a MAC that
 * replaced another one is somebody's decision, and is kept.
 */
function dueMac(mac: Mac, entry: LedgerEntry | null, { macPolicy }: NetworkConfig): DueMac {
  const had = entry?.macs[0];
  if (entry === null || had === undefined || entry.macOrigin === 'due') return { kind: 'formula' };
  const isGiven = entry.macOrigin === 'given';
  if (isGiven && had === mac) return { kind: 'none' };
  if (macPolicy === 'always') return isGiven ? { kind: 'returned', mac: had } : { kind: 'formula' };
  if (entry.booted) return entry.macs.includes(mac) ? { kind: 'none' } : { kind: 'returned', mac: had };
  const hasReplacedOther = entry.retired === null && (isGiven || entry.macs.length > 1);
  return { kind: hasReplacedOther ? 'none' : 'formula' };
}

/** Returns the MAC that a NIC gets: its current one where none is due, or the due one is not free. */
function chooseDue(due: DueMac, nic: MacRequest & { readonly current: Mac }, context: AssignContext): Mac {
  switch (due.kind) {
    case 'none':
      return nic.current;
    case 'formula':
      return chooseMac(nic, context).mac;
    case 'other':
      return chooseMac({ ...nic, current: null }, context).mac;
    case 'returned': {
      const isFree = !nic.siblings.has(due.mac) && macHolder(due.mac, context, nic) === null;
      return isFree ? due.mac : nic.current;
    }
  }
}

/** A NIC that gets a MAC by the formula. */
export interface MacRequest {
  readonly key: NicKey;
  /** Null for a machine that does not exist yet. */
  readonly uuid: string | null;
  /**
   * The MAC in its definition, which stays if it is the formula's, even if another NIC has it; null for none.
   */
  readonly current: Mac | null;
  /** The MACs that other NICs of the machine have or get. */
  readonly siblings: ReadonlySet<Mac>;
}

/** Returns the formula's MAC for a NIC, and the candidates that were not free. */
export function chooseMac(
  { key, uuid, current, siblings }: MacRequest,
  sources: MacSources,
): { readonly mac: Mac; readonly why: TrailStep } {
  const skipped: SkippedMac[] = [];
  const mac = formulaMac(key, candidate => {
    if (candidate === current) return false;
    const holder = siblings.has(candidate) ? 'sibling' : macHolder(candidate, sources, { key, uuid });
    if (holder !== null) skipped.push({ mac: candidate, holder });
    return holder !== null;
  });
  return { mac, why: { kind: 'mac', mac, reason: 'formula', skipped } };
}

/**
 * Returns the MACs that a domain's NICs on a network share with those on others, or by `<teaming>`: libvirt makes no
 * MAC twice, so somebody wants it.
 */
export function pairedMacs(on: readonly Nic[], onOthers: ReadonlySet<Mac>): Set<Mac> {
  return new Set(
    on.flatMap(({ mac, teamed }) => (mac !== null && (teamed || onOthers.has(mac)) ? [mac] : [])),
  );
}

/**
 * Returns whether a MAC has another prefix than libvirt's, is that of another NIC as well, or is in virlan.ini or
 * in a line written by hand.
 */
function isUsersChoice(mac: Mac, { network, byHand, paired }: AssignContext): boolean {
  return (
    paired.has(mac) ||
    !mac.startsWith(`${kvmPrefix}:`) ||
    network.hosts.some(host => host.mac === mac) ||
    byHand.some(line => line.macs.includes(mac))
  );
}
