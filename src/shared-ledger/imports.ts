// Decides how the ledger of a host follows etcd. Hooks read the ledger, so it is their copy of etcd. Pure.
import { isDeepStrictEqual } from 'node:util';
import type { LedgerEntry } from '../identity/ledger-format.ts';
import type { ReservationProblem } from '../identity/problem.ts';
import type { Mirror } from './mirror.ts';
import { byMachine, isGivenUp, type Member, revisionOf } from './pushes.ts';

/** The entries of a machine before and after. */
export interface Change {
  readonly before: readonly LedgerEntry[];
  readonly after: readonly LedgerEntry[];
}

/** The state of a machine on this host; one that migrates to another host runs on both. */
export type Presence = 'off' | 'running' | 'migrating-out';

/**
 * Returns the changes of the ledger. A machine that runs on this host, whose `presence` is asked only where that
 * matters, keeps its addresses whatever etcd has.
 */
export function planImports(
  member: Member,
  entries: readonly LedgerEntry[],
  mirror: Mirror,
  presence: (uuid: string) => Presence,
): Change[] {
  const local = byMachine(member, entries);
  const uuids = new Set([...local.keys(), ...mirror.machines.keys()]);
  return [...uuids].flatMap(uuid => {
    const before = local.get(uuid) ?? [];
    const after = importMachine(member, before, uuid, mirror, presence);
    return isDeepStrictEqual(before, after) ? [] : [{ before, after }];
  });
}

function importMachine(
  { host }: Member,
  before: readonly LedgerEntry[],
  uuid: string,
  mirror: Mirror,
  presence: (uuid: string) => Presence,
): readonly LedgerEntry[] {
  const known = mirror.machines.get(uuid);
  const isOwn = before.every(entry => entry.host === null);
  // Its host has left, or this one has not written it yet.
  if (known === undefined) return isOwn ? before : [];
  const { value, revision } = known;
  if (value === null) return before;
  // Its host gives its address again: without a copy, nobody takes the machine over with it.
  if (value.host !== host && isGivenUp(value)) return isOwn ? before : [];
  const theirs = (place: LedgerEntry['host']) =>
    value.entries.map(({ entry }) => ({ ...entry, host: place, revision }));
  if (value.host === host) {
    // Nothing is here where the ledger was lost.
    if (before.length === 0 || !isOwn) return theirs(null);
    // Also if there is more to write: nobody else has it meanwhile.
    return before.map(entry => ({ ...withoutProblem(entry, 'runs-elsewhere'), revision }));
  }
  const isNewer = revisionOf(before) !== revision;
  if (!isOwn || before.length === 0) return isNewer || before.length === 0 ? theirs(value.host) : before;
  // This host is about to take the machine over.
  if (!isNewer) return before;
  const here = presence(uuid);
  if (here === 'off') return theirs(value.host);
  if (here === 'migrating-out') return before;
  // It was undefined there while it started here, or its migration failed, or that host has died: this host takes it
  // over from that revision.
  if (value.entries.every(({ entry }) => entry.retired !== null) || !mirror.alive.has(value.host))
    return before.map(entry => ({ ...withoutProblem(entry, 'runs-elsewhere'), revision }));
  return before.map(entry => ({ ...entry, problem: { kind: 'runs-elsewhere', host: value.host } }));
}

/** Returns an entry without a problem of this kind. */
export function withoutProblem(entry: LedgerEntry, kind: ReservationProblem['kind']): LedgerEntry {
  return entry.problem?.kind === kind ? { ...entry, problem: null } : entry;
}
