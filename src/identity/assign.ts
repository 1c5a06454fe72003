import { kvmPrefix, type Mac } from '../address/mac.ts';
import type { NetworkConfig } from '../config/config.ts';
import { formulaMac } from './formula.ts';
import type { LedgerEntry } from './ledger.ts';
import type { Machine } from './machine.ts';

/** What the choice of a machine's MACs rests on. */
export interface AssignCircumstances {
  readonly network: NetworkConfig;
  /** The machine's entries in the ledger. */
  readonly entries: readonly LedgerEntry[];
  /** MACs that virlan.ini or a line written by hand in the hostsfile names: the user's choice. */
  readonly chosen: ReadonlySet<Mac>;
  /** Whether another machine has this MAC. */
  readonly taken: (mac: Mac) => boolean;
}

/**
 * The MACs that the definition of a machine that is shut off is to have instead of those it has (section 4 of the reference): place among its
 * NICs on the network → new MAC. Empty when all are right or not virlan's to change.
 */
export function assignMacs(machine: Machine, around: AssignCircumstances): Map<number, Mac> {
  const { network, entries, chosen } = around;
  const changes = new Map<number, Mac>();
  if (network.mac === 'keep' || machine.wishes.mac === 'keep') return changes;
  const given = new Set<Mac>();
  for (const [place, mac] of machine.macs.entries()) {
    const entry = entries.find(each => each.macs.includes(mac)) ?? entries.find(each => each.nic === place);
    const isUsers = !mac.startsWith(`${kvmPrefix}:`) || chosen.has(mac);
    const isSettled = entry !== undefined && isSettledWith(entry, mac, network.mac);
    if (isUsers || isSettled) continue;
    const key = { network: network.name, machine: machine.name, nic: entry?.nic ?? place };
    const formula = formulaMac(
      key,
      candidate => candidate !== mac && (given.has(candidate) || around.taken(candidate)),
    );
    given.add(formula);
    if (formula !== mac) changes.set(place, formula);
  }
  return changes;
}

/** What virlan gave once stays, also when a rename would have the formula say otherwise; so does, with `assign`, what a machine booted with. */
function isSettledWith(entry: LedgerEntry, mac: Mac, policy: NetworkConfig['mac']): boolean {
  if (entry.mac === 'due') return false;
  const isGiven = entry.mac === 'given' && entry.macs[0] === mac;
  return isGiven || (policy === 'assign' && entry.booted);
}
