// Chooses the MACs for the definition of a machine that is shut off. See "The MAC" in docs/identity.md.
// virt-install boots a machine before it defines it: such a machine keeps the random MAC of its first boot.
import { kvmPrefix, type Mac } from '../address/mac.ts';
import type { NetworkConfig } from '../config/config.ts';
import { formulaMac, type NicKey } from './formula.ts';
import type { LedgerEntry } from './ledger-format.ts';
import type { Machine } from './machine.ts';
import { type MacSources, macHolder } from './taken-macs.ts';
import type { SkippedMac, TrailStep } from './trail.ts';

/** The input of the choice of a machine's MACs. */
export interface AssignContext extends MacSources {
  readonly network: NetworkConfig;
}

/**
 * Returns the new MACs for a machine that is shut off: index among its NICs on the network → MAC. Empty when
 * all are right, or virlan must not change them.
 */
export function assignMacs(machine: Machine, context: AssignContext): Map<number, Mac> {
  const { network, ledger } = context;
  const changes = new Map<number, Mac>();
  if (network.macPolicy === 'keep' || machine.wishes.keepsMac) return changes;
  const entries = ledger.ofMachine(network.name, machine.uuid);
  const given = new Set<Mac>();
  for (const [index, mac] of machine.macs.entries()) {
    const entry = entries.find(each => each.macs.includes(mac)) ?? entries.find(each => each.nic === index);
    const isFinal = entry !== undefined && isFinalMac(entry, mac, network.macPolicy);
    if (isUsersChoice(mac, context) || isFinal) continue;
    const key = { network: network.name, machine: machine.name, nic: entry?.nic ?? index };
    const chosen = chooseMac({ key, uuid: machine.uuid, current: mac, siblings: given }, context).mac;
    given.add(chosen);
    if (chosen !== mac) changes.set(index, chosen);
  }
  return changes;
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
  /** The MACs that other NICs of the machine get. */
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
 * Returns whether a MAC has another prefix than libvirt's, or is in virlan.ini or in a line written by hand.
 */
function isUsersChoice(mac: Mac, { network, byHand }: AssignContext): boolean {
  return (
    !mac.startsWith(`${kvmPrefix}:`) ||
    network.hosts.some(host => host.mac === mac) ||
    byHand.some(line => line.macs.includes(mac))
  );
}

/**
 * Returns whether a MAC stays: one that virlan gave, also after a rename; with `assign`, one that has booted.
 */
function isFinalMac(entry: LedgerEntry, mac: Mac, policy: NetworkConfig['macPolicy']): boolean {
  if (entry.macOrigin === 'due') return false;
  const isGiven = entry.macOrigin === 'given' && entry.macs[0] === mac;
  return isGiven || (policy === 'assign' && entry.booted);
}
