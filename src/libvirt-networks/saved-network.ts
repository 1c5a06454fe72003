// The record of libvirt's network `default` before virlan removed it: /var/lib/virlan/default-network.json.
//
//   {"xml": "<network>…</network>", "autostart": true, "active": true, "version": 1}
import { dirname } from 'node:path';
import * as v from 'valibot';
import { VirlanError } from '../errors.ts';
import { formatRecord, parseRecord, type RecordFormat } from '../records/record.ts';
import { makeDirectory, readOwnFileOrNull, removeFile, writeAtomically } from '../system/files.ts';
import { paths } from '../system/paths.ts';
import type { SavedNetwork } from './decide.ts';

const schema = v.looseObject({ xml: v.string(), autostart: v.boolean(), active: v.boolean() });

const format: RecordFormat<typeof schema> = { version: 1, migrations: [], schema };

export type SavedNetworkRecord = v.InferOutput<typeof schema>;

/** Reads the record of any version from its text. Throws VirlanError for a damaged one. */
export function parseSavedNetwork(text: string, path: string): SavedNetworkRecord {
  const parsed = parseRecord(text, format);
  if (parsed.ok) return parsed.value;
  const remedy = "repair it, or remove it if libvirt's network default need not be restored";
  throw new VirlanError('damaged-file', `${path}: ${parsed.error}: ${remedy}`);
}

/** Returns the record's text in the present version. */
export function formatSavedNetwork(record: SavedNetworkRecord): string {
  return formatRecord(record, format);
}

/**
 * Returns the record with what was seen now. A network that was once active or autostarted stays so: the
 * daemon hook removes the autostart link before the watcher sees the network, and libvirt then does not start
 * it.
 */
export function updateSavedNetwork(
  earlier: SavedNetworkRecord | null,
  { xml, autostart, active }: SavedNetwork,
): SavedNetworkRecord {
  return {
    ...earlier,
    xml,
    autostart: autostart || earlier?.autostart === true,
    active: active || earlier?.active === true,
  };
}

/**
 * Returns the record, or null when virlan has not removed `default`. Throws VirlanError for a damaged one.
 */
export function readSavedNetwork(): SavedNetworkRecord | null {
  const text = readOwnFileOrNull(paths.savedDefault);
  return text === null ? null : parseSavedNetwork(text, paths.savedDefault);
}

/** Writes the record. Throws VirlanError, and leaves the file as it is, when the earlier one is damaged. */
export function saveNetwork(network: SavedNetwork): void {
  const record = updateSavedNetwork(readSavedNetwork(), network);
  makeDirectory(dirname(paths.savedDefault), 0o700);
  writeAtomically(paths.savedDefault, formatSavedNetwork(record), 0o600);
}

/** Removes the record. */
export function removeSavedNetwork(): void {
  removeFile(paths.savedDefault);
}
