// The ledger on disk: a start reads and writes only the files of its own machine, however many there are.
//   /var/lib/virlan/ledger/machines/UUID.json   a machine with an entry that is not retired; the truth
//   /var/lib/virlan/ledger/retired/UUID.json    a machine with retired entries only; the truth
//   /var/lib/virlan/ledger/index/ip/192.168.100.155 -> UUID     leads from a key of an entry to its machine
//   /var/lib/virlan/ledger/index/ip/192.168.100.155~2 -> UUID   a second machine with the same key
//   /var/lib/virlan/ledger/unfinished           exists while a change of the index is under way
//   /var/lib/virlan/ledger.jsonl                the version of all this: ledger-lines.ts
// A machine's file is replaced in one step. The index may lead to a machine that no longer has the key, which
// a search checks, but never lacks one: it gets the new keys before a machine's file is replaced, and loses
// the old ones after. A writer that was killed leaves `unfinished`, and the next one makes the index anew
// from the machines' files (ledger-rebuild.ts), as it does when the index is not there. A machine with a file
// in both directories is the one in `machines/`. All writers hold the ledger's lock; readers do not.
import { existsSync, lstatSync, readlinkSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { VirlanError } from '../errors.ts';
import { cached } from '../system/file-cache.ts';
import { isMissing, listDirectory, readFileOrNull, storeDurably, writeTogether } from '../system/files.ts';
import { paths } from '../system/paths.ts';
import { type IndexKey, keysOf, Ledger, type LedgerSource, type MachineChange } from './ledger.ts';
import { formatMachine, type MachineRecord, parseMachine, type StoredEntry } from './ledger-format.ts';
import { ledgerVersion, readLines, readVersion } from './ledger-lines.ts';

export const places = {
  machines: `${paths.ledger}/machines`,
  retired: `${paths.ledger}/retired`,
  index: `${paths.ledger}/index`,
  unfinished: `${paths.ledger}/unfinished`,
} as const;

/**
 * Reads the ledger; an empty one on a host without. Throws VirlanError 'damaged-file' or 'newer-format': such
 * a file is never overwritten.
 */
export function readLedger(): Ledger {
  const entries = readFirstFormat();
  return entries === null ? Ledger.from(new Files()) : Ledger.of(entries);
}

/** Returns the entries of a ledger in the first format; null when there is none, or it was converted. */
export function readFirstFormat(): StoredEntry[] | null {
  const path = paths.ledgerHeader;
  const text = readFileOrNull(path) ?? '';
  if (text === '') return null;
  const version = readVersion(text);
  if (version === ledgerVersion) return null;
  if (version === null) throw damaged(path, 'line 1 is not the header of a ledger');
  if (version > ledgerVersion) {
    const known = `this virlan knows versions up to ${ledgerVersion}`;
    const message = `the ledger has version ${version}, ${known}: install a newer virlan`;
    throw new VirlanError('newer-format', `${path}: ${message}`);
  }
  const lines = readLines(text);
  if (!lines.ok) throw damaged(path, lines.error);
  return lines.value;
}

/** Returns whether the ledger has the present format, and a complete index. */
export function isSettled(): boolean {
  const version = readVersion(readFileOrNull(paths.ledgerHeader) ?? '');
  return version === ledgerVersion && existsSync(places.index) && !existsSync(places.unfinished);
}

/** Writes the machines that have changed. The caller holds the lock, and the ledger is settled. */
export function writeLedger(ledger: Ledger): void {
  const changes = ledger.changes().map(withKeys);
  const kinds = new Set(changes.flatMap(({ added }) => added.map(key => dirname(indexPath(key)))));
  const changesIndex = changes.some(({ added, removed }) => added.length + removed.length > 0);
  if (changesIndex) writeFileSync(places.unfinished, '', { mode: 0o600 });
  for (const { uuid, added } of changes) for (const key of added) addToIndex(places.index, key, uuid);
  for (const kind of kinds) storeDurably(kind);
  // First those that get something: if this ends here, two machines have it, and the next start of the one
  // that got it takes it from the other again.
  changes.sort((a, b) => b.added.length - a.added.length);
  writeMachines(changes);
  for (const { uuid, removed } of changes) for (const key of removed) removeFromIndex(key, uuid);
  if (changesIndex) rmSync(places.unfinished);
}

/** Returns the path of a machine's file in one of the two directories. */
export function machinePath(directory: string, uuid: string): string {
  return `${directory}/${uuid}.json`;
}

/** Returns the directory for a machine's file. */
export function homeOf({ entries }: MachineRecord): string {
  return entries.some(({ entry }) => entry.retired === null) ? places.machines : places.retired;
}

/** Makes an index lead from a key to a machine. */
export function addToIndex(index: string, key: IndexKey, uuid: string): void {
  for (let number = 1; ; number++) {
    const path = indexPath(key, number, index);
    try {
      symlinkSync(uuid, path);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      if (readlinkSync(path) === uuid) return;
    }
  }
}

/** The machines' files and their index. Reads each machine once, so that a decision sees one state of it. */
export class Files implements LedgerSource {
  readonly #machines = new Map<string, MachineRecord | null>();

  machine(uuid: string): MachineRecord | null {
    const known = this.#machines.get(uuid);
    if (known !== undefined) return known;
    const [present, retired] = [machinePath(places.machines, uuid), machinePath(places.retired, uuid)];
    // Again, because the machine may have moved from the second directory to the first meanwhile.
    const record = readMachine(present) ?? readMachine(retired) ?? readMachine(present);
    this.#machines.set(uuid, record);
    return record;
  }

  holders(key: IndexKey): string[] {
    return readHolders(key);
  }

  addresses(): string[] {
    return listDirectory(`${places.index}/ip`).map(withoutNumber);
  }

  present(): string[] {
    return listMachines(places.machines);
  }

  retired(): string[] {
    const present = new Set(this.present());
    return listMachines(places.retired).filter(uuid => !present.has(uuid));
  }

  *retirements(): Generator<readonly [key: IndexKey, uuid: string]> {
    for (const name of new Set(listDirectory(`${places.index}/retired`).map(withoutNumber)))
      for (const uuid of readHolders(`retired/${name}`)) yield [`retired/${name}`, uuid];
  }
}

const readMachine = cached((path: string): MachineRecord | null => {
  const text = readFileOrNull(path);
  if (text === null) return null;
  const [, uuid = ''] = machineFile.exec(path) ?? [];
  const record = parseMachine(text, uuid);
  if (!record.ok) throw damaged(path, record.error);
  return record.value;
});

const machineFile = /([0-9a-f-]{36})\.json$/;

function listMachines(directory: string): string[] {
  return listDirectory(directory).flatMap(name => machineFile.exec(name)?.slice(1) ?? []);
}

/** Returns a change with the keys that the machine gets and loses. */
function withKeys(change: MachineChange) {
  const [before, after] = [keysOf(change.before), keysOf(change.after)];
  const added = [...after].filter(key => !before.has(key));
  const removed = [...before].filter(key => !after.has(key));
  return { ...change, added, removed };
}

/** Writes machines where they belong, and removes them from the other directory after that. */
function writeMachines(changes: readonly MachineChange[]): void {
  const written = changes.flatMap(({ uuid, after }) =>
    after === null ? [] : [{ path: machinePath(homeOf(after), uuid), content: formatMachine(uuid, after) }],
  );
  writeTogether(written, 0o600);
  const writtenPaths = new Set(written.map(({ path }) => path));
  const left = changes
    .flatMap(({ uuid }) => [machinePath(places.machines, uuid), machinePath(places.retired, uuid)])
    .filter(path => !writtenPaths.has(path) && existsSync(path));
  for (const path of left) rmSync(path);
  for (const directory of new Set(left.map(path => dirname(path)))) storeDurably(directory);
}

/** Returns the path of a key in the index: that of the first machine with the key, of the second, and so on. */
function indexPath(key: IndexKey, number = 1, index: string = places.index): string {
  return join(index, number === 1 ? key : `${key}~${number}`);
}

function withoutNumber(name: string): string {
  return name.replace(/~\d+$/, '');
}

function readHolders(key: IndexKey): string[] {
  const holders: string[] = [];
  for (;;) {
    const path = indexPath(key, holders.length + 1);
    try {
      // Most keys have no holder, or one; an error that is thrown costs several times as much as this call.
      if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return holders;
      holders.push(readlinkSync(path));
    } catch (error) {
      if (isMissing(error)) return holders;
      throw error;
    }
  }
}

/** Removes a machine from a key; the last machine of the key takes its number. */
function removeFromIndex(key: IndexKey, uuid: string): void {
  const holders = readHolders(key);
  const at = holders.indexOf(uuid);
  if (at === -1) return;
  const last = indexPath(key, holders.length);
  if (at === holders.length - 1) rmSync(last);
  else renameSync(last, indexPath(key, at + 1));
}

function damaged(path: string, what: string): VirlanError {
  const remedy = 'repair it, or move the file away to make its reservations anew';
  return new VirlanError('damaged-file', `${path}: ${what}: ${remedy}`);
}
