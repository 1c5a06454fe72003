// Brings the ledger's directory into order where a start could not: it is new, or has the first format, or
// its index is missing or was left unfinished.
import { linkSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { storeDurably, writeAtomically } from '../system/files.ts';
import { paths } from '../system/paths.ts';
import { keysOf, Ledger } from './ledger.ts';
import {
  addToIndex,
  Files,
  homeOf,
  isSettled,
  machinePath,
  places,
  readFirstFormat,
} from './ledger-files.ts';
import { formatMachine, type StoredEntry } from './ledger-format.ts';
import { header } from './ledger-lines.ts';

const kinds = ['ip', 'mac', 'name', 'hostname', 'retired'];

/** Settles the ledger. The caller holds its lock. Throws VirlanError when a file is damaged. */
export function settleLedger(): void {
  if (isSettled()) return;
  const entries = readFirstFormat();
  if (entries !== null) {
    rmSync(places.machines, { recursive: true, force: true });
    rmSync(places.retired, { recursive: true, force: true });
  }
  for (const directory of [paths.ledger, places.machines, places.retired])
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (entries !== null) convert(entries);
  rebuildIndex();
  // Last: until now a ledger in the first format is the truth, and is converted again.
  if (entries !== null) keepAside();
  writeAtomically(paths.ledgerHeader, header, 0o600);
}

/** Writes the files of machines. Retired entries without an address are left out. */
function convert(entries: readonly StoredEntry[]): void {
  const kept = entries.filter(({ entry }) => entry.retired === null || entry.ip !== null);
  const written: string[] = [];
  for (const { uuid, after } of Ledger.of(kept).changes()) {
    if (after === null) continue;
    const path = machinePath(homeOf(after), uuid);
    writeFileSync(path, formatMachine(uuid, after), { mode: 0o600 });
    written.push(path);
  }
  // After all are written, because the first call stores most of them.
  for (const path of [...written, places.machines, places.retired]) storeDurably(path);
}

function rebuildIndex(): void {
  const built = `${places.index}.new`;
  rmSync(built, { recursive: true, force: true });
  for (const kind of kinds) mkdirSync(`${built}/${kind}`, { recursive: true, mode: 0o700 });
  const files = new Files();
  for (const uuid of [...files.present(), ...files.retired()])
    for (const key of keysOf(files.machine(uuid))) addToIndex(built, key, uuid);
  for (const kind of kinds) storeDurably(`${built}/${kind}`);
  rmSync(places.index, { recursive: true, force: true });
  renameSync(built, places.index);
  storeDurably(dirname(places.index));
  rmSync(places.unfinished, { force: true });
}

/** Keeps the file of the first format, for a person who goes back to an earlier virlan. */
function keepAside(): void {
  rmSync(paths.earlierLedger, { force: true });
  linkSync(paths.ledgerHeader, paths.earlierLedger);
}
