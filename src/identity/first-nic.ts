// Finds the NIC of a machine that its wishes are for, and takes what is in the way of them from NICs that have gone.
// Pure.
import { machineLabel } from '../names/label.ts';
import type { ReserveContext } from './context.ts';
import type { Ledger } from './ledger.ts';
import type { LedgerEntry } from './ledger-format.ts';
import type { Machine, Wishes } from './machine.ts';
import type { EntryMatch } from './match-entries.ts';

interface FirstNic {
  /** The place of the NIC that gets the address, host name and aliases that the machine asks for; -1 for none. */
  readonly first: number;
  /** The ledger without what the machine's NICs that have gone had and do not keep. */
  readonly ledger: Ledger;
  /** The entries of these NICs that changed. */
  readonly changed: readonly LedgerEntry[];
}

/**
 * Finds a machine's first NIC on a network: that with the number 0. One that was inserted before another has the number
 * of that one, which keeps what it had while it is there. Nothing is kept of a NIC that has gone and never had its MAC
 * for itself.
 */
export function findFirstNic(
  ledger: Ledger,
  { name, uuid, wishes }: Machine,
  matches: readonly EntryMatch[],
  { network }: ReserveContext,
): FirstNic {
  const first = firstNicOf(matches, wishes);
  const isTaken = (label: string) =>
    label === wishes.hostname || ledger.withHostname(network.name, label).length > 0;
  let result = ledger;
  const changed: LedgerEntry[] = [];
  for (const entry of ledger.ofMachine(network.name, uuid)) {
    if (matches.some(match => match.entry === entry)) continue;
    if (entry.problem?.kind === 'mac-taken') result = result.replace(entry, null);
    else if (first >= 0 && hasWished(entry, wishes)) {
      const ip = entry.ip === wishes.ip ? null : entry.ip;
      const hostname =
        entry.hostname === wishes.hostname ? machineLabel(name, entry.nic, isTaken) : entry.hostname;
      const left = { ...entry, ip, hostname, aliases: [], problem: null };
      result = result.replace(entry, left);
      changed.push(left);
    }
  }
  return { first, ledger: result, changed };
}

/** Returns the place of a machine's first NIC on a network; -1 for none. */
export function firstNicOf(matches: readonly Pick<EntryMatch, 'entry'>[], wishes: Wishes): number {
  const numbered = matches.flatMap(({ entry }, nic) => ((entry?.nic ?? nic) === 0 ? nic : []));
  const holder = numbered.find(nic => matches[nic]?.entry && hasWished(matches[nic].entry, wishes));
  return holder ?? numbered.at(-1) ?? -1;
}

function hasWished({ ip, hostname, aliases }: LedgerEntry, wishes: Wishes): boolean {
  return (ip !== null && ip === wishes.ip) || hostname === wishes.hostname || aliases.length > 0;
}
