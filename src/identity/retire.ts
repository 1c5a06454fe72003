// Retires the entries of machines that no longer exist. A retired entry keeps its address for a machine of its
// name, until the pool has no other or it is a year old; one without an address is dropped.
import type { Ledger } from './ledger.ts';
import type { LedgerEntry } from './ledger-format.ts';

const maxRetiredMs = 365 * 86_400_000;

/** The entries that were retired, and the ledger without entries that hold nothing any more. */
export interface Retired {
  readonly ledger: Ledger;
  readonly entries: readonly LedgerEntry[];
}

/** Retires the entries of machines of this host, given by UUID. */
export function retire(ledger: Ledger, uuids: Iterable<string>, now: Date): Retired {
  const entries = [...uuids]
    .flatMap(uuid => ledger.ofUuid(uuid))
    .filter(entry => entry.retired === null && entry.host === null);
  const retired = entries.reduce(
    (rest, entry) =>
      rest.replace(
        entry,
        entry.ip === null && !isShared(entry) ? null : { ...entry, retired: now, problem: null },
      ),
    ledger,
  );
  return { ledger: entries.length === 0 ? ledger : withoutOldest(retired, now), entries };
}

function withoutOldest(ledger: Ledger, now: Date): Ledger {
  let result = ledger;
  for (const entry of ledger.retired()) {
    if (entry.retired === null || now.getTime() - entry.retired.getTime() < maxRetiredMs) break;
    if (!isShared(entry)) result = result.replace(entry, null);
  }
  return result;
}

/** An entry that is in etcd is dropped there first: another host may have taken it over. */
function isShared({ revision }: LedgerEntry): boolean {
  return revision !== null;
}

/** Returns an entry as one that the watcher drops at once, in etcd first: this host may not know what is there. */
export function asForgotten(entry: LedgerEntry): LedgerEntry {
  return { ...entry, retired: new Date(0), problem: null };
}

/** Returns whether an entry is one that its host drops at once, and gives its address again. */
export function isForgotten({ retired }: LedgerEntry): boolean {
  return retired?.getTime() === 0;
}
