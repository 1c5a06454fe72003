// Applies changes from etcd to the ledger, under its lock, and makes the events about them.
import { isDeepStrictEqual } from 'node:util';
import { formatIp } from '../../address/ip.ts';
import type { NetworkConfig } from '../../config/config.ts';
import type { Ledger } from '../../identity/ledger.ts';
import type { LedgerEntry } from '../../identity/ledger-format.ts';
import { changeLedger, readLedger, syncReservations } from '../../identity/store.ts';
import { removeClusterCopy } from '../../records/cluster-copy.ts';
import type { Event } from '../../report/event.ts';
import type { Change } from '../../shared-ledger/imports.ts';
import { idOf } from '../machines/domains.ts';

/** Most machines that are changed together: a machine's start waits for the ledger's lock meanwhile. */
const maxTogether = 100;

/** Changes the ledger, except for machines that have changed since the plan was made. Returns what was changed. */
export async function changeMachines(changes: readonly Change[]): Promise<Change[]> {
  const done: Change[] = [];
  for (let first = 0; first < changes.length; first += maxTogether) {
    const some = changes.slice(first, first + maxTogether);
    done.push(...(await changeLedger(ledger => applyChanges(ledger, some))));
  }
  return done;
}

/** Removes the entries of other hosts from the ledger of a network, and the copy. Entries of this host stay. */
export async function forgetCluster(network: NetworkConfig): Promise<void> {
  for (;;) {
    // Again: some may have changed meanwhile.
    const shared = readLedger()
      .entries()
      .filter(entry => entry.network === network.name && (entry.host !== null || entry.revision !== null));
    if (shared.length === 0) break;
    await changeMachines(shared.map(entry => ({ before: [entry], after: withoutCluster(entry) })));
  }
  removeClusterCopy(network.name);
  await syncReservations(network);
}

/** Returns the entry as it is on a host by itself; none for a machine of another host. */
function withoutCluster(entry: LedgerEntry): LedgerEntry[] {
  return entry.host === null ? [{ ...entry, revision: null }] : [];
}

function applyChanges(ledger: Ledger, changes: readonly Change[]) {
  const result: Change[] = [];
  let changed = ledger;
  for (const change of changes) {
    const [known] = [...change.before, ...change.after];
    if (known === undefined) continue;
    const present = ledger.ofMachine(known.network, known.uuid);
    if (!change.before.every(entry => present.some(each => isDeepStrictEqual(each, entry)))) continue;
    if (change.before.length === 0 && present.length > 0) continue;
    for (let index = 0; index < Math.max(change.before.length, change.after.length); index++)
      changed = changed.replace(change.before[index] ?? null, change.after[index] ?? null);
    result.push(change);
  }
  return { ledger: changed, result };
}

/** A revision alone changes nothing for dnsmasq or a person. */
export function changesReservations({ before, after }: Change): boolean {
  const without = (entries: readonly LedgerEntry[]) => entries.map(entry => ({ ...entry, revision: null }));
  return !isDeepStrictEqual(without(before), without(after));
}

/** Returns what a change means for the log. */
export function eventsOf(network: string, { before, after }: Change): Event[] {
  return after.flatMap((entry, index): Event[] => {
    const earlier = before[index];
    const { problem, host } = entry;
    if (host !== null && earlier?.host === null)
      return [{ kind: 'machine-moved', network, machine: idOf(entry), host: formatIp(host) }];
    if (problem === null || isDeepStrictEqual(problem, earlier?.problem)) return [];
    return [{ kind: 'reservation', event: { kind: 'problem', entry, problem } }];
  });
}
