// Keeps what a start has changed of the entries of a machine's NICs until the machine runs or has stopped, because a
// start that fails is not a boot: /run/virlan/starts/UUID.json. A start that changes nothing, as most, has no file.
//   {"nics": [{"mac": "52:54:00:98:76:54", "before": {"network": "k8s-br0", "nic": 0, "macs": […], …}}], "version": 1}
// `before` is the entry as it would be without the start, with all its fields.
import { existsSync } from 'node:fs';
import * as v from 'valibot';
import { parseMac } from '../address/mac.ts';
import { formatRecord, parseRecord, type RecordFormat } from '../records/record.ts';
import { makeDirectory, removeFile, writeAtomically } from '../system/files.ts';
import { paths, startPath } from '../system/paths.ts';
import { readOwnIfReadable } from '../system/unreadable-files.ts';
import type { StartedNic } from './failed-start.ts';
import { entryFields, readEntry } from './ledger-format.ts';

const format = {
  version: 1,
  migrations: [],
  schema: v.looseObject({
    nics: v.array(v.looseObject({ mac: v.string(), before: v.record(v.string(), v.unknown()) })),
  }),
} satisfies RecordFormat<v.GenericSchema>;

/** Returns whether a machine has changed something by its start, and not stopped since. */
export function hasStartedNics(uuid: string): boolean {
  return existsSync(startPath(uuid));
}

/** Reads what the start of a machine has changed. Damaged files count as none. */
export function readStartedNics(uuid: string): StartedNic[] {
  const record = parseRecord(readOwnIfReadable(startPath(uuid)) ?? '', format);
  if (!record.ok) return [];
  return record.value.nics.flatMap(nic => {
    const mac = parseMac(nic.mac);
    const before = readEntry(nic.before);
    return mac !== null && before.ok ? [{ mac, before: before.value }] : [];
  });
}

/** Throws WriteError. */
export function writeStartedNics(uuid: string, nics: readonly StartedNic[]): void {
  makeDirectory(paths.starts, 0o700);
  const written = nics.map(({ mac, before }) => ({
    mac,
    before: entryFields({ entry: before, fields: {} }),
  }));
  writeAtomically(startPath(uuid), formatRecord({ nics: written }, format), 0o600);
}

export function removeStartedNics(uuid: string): void {
  removeFile(startPath(uuid));
}
