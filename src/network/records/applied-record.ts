// The record of what virlan put on the host for one bridge since it booted: /run/virlan/BRIDGE.applied.json.
// A later listing of the kernel that differs from the recorded one is drift.
//
//   {"rules": [{"backend": "nftables", "family": "ipv4", "script": "table ip …", "listing": ["table ip …"]}],
//    "addresses": ["192.168.100.1/24"], "dnsmasq": {"pid": 339, "linkIndex": 4},
//    "treatment": {"subnet": "192.168.100.0/24", "isTranslated": true}, "ports": {"vnet0": {"hairpin": true}},
//    "entries": {"vnet0": [{"mac": "52:54:00:00:00:0a", "isSticky": false}]}, "reflecting": ["vnet0"],
//    "vlans": {"defaultVlan": 1, "byLink": {"vnet0": [{"vid": 10, "isPvid": true, "isUntagged": true}]}}, "version": 2}
import { existsSync } from 'node:fs';
import * as v from 'valibot';
import { families } from '../../address/ip.ts';
import { dnsmasqPaths } from '../../dnsmasq/paths.ts';
import { backendNames, lackingParts } from '../../firewall/backend.ts';
import { formatRecord, parseRecord, type RecordFormat } from '../../records/record.ts';
import { makeDirectory, removeFile, writeAtomically } from '../../system/files.ts';
import { paths } from '../../system/paths.ts';
import { readOwnIfReadable } from '../../system/unreadable-files.ts';
import { newPortFlags, newPortNumbers, type PortFlag, type PortNumber } from '../state/port-options.ts';
import { macSchema } from './record-schemas.ts';

const portOptionsSchema = v.partial(
  v.looseObject({
    ...v.entriesFromList(Object.keys(newPortFlags) as PortFlag[], v.boolean()),
    ...v.entriesFromList(Object.keys(newPortNumbers) as PortNumber[], v.number()),
  }),
);

const schema = v.looseObject({
  rules: v.array(
    v.looseObject({
      backend: v.picklist(backendNames),
      family: v.picklist(families),
      script: v.string(),
      /** Lines that the kernel listed right after loading. */
      listing: v.array(v.string()),
    }),
  ),
  /** Addresses of the bridge that virlan added, as `ADDRESS/LENGTH`. */
  addresses: v.array(v.string()),
  /** The process of dnsmasq and the index of the bridge that it bound its sockets to. */
  dnsmasq: v.optional(v.nullable(v.looseObject({ pid: v.number(), linkIndex: v.number() })), null),
  /** Says whether the rules translate the addresses of machines; null if it is not known. */
  treatment: v.optional(v.nullable(v.looseObject({ subnet: v.string(), isTranslated: v.boolean() })), null),
  /** The guard's table, and the lines without elements that the kernel listed right after loading. */
  guard: v.optional(v.nullable(v.looseObject({ table: v.string(), listing: v.array(v.string()) })), null),
  /** The filter of the tunnel, and the lines that the kernel listed right after loading. */
  tunnel: v.optional(v.nullable(v.looseObject({ filter: v.string(), listing: v.array(v.string()) })), null),
  /** Options of the bridge's ports that were not those of a new one, by tap. */
  ports: v.optional(v.record(v.string(), portOptionsSchema), {}),
  /** Static entries of the bridge's table of MACs, by tap. */
  entries: v.optional(
    v.record(v.string(), v.array(v.looseObject({ mac: macSchema, isSticky: v.boolean() }))),
    {},
  ),
  /** The VLANs of a bridge that keeps them apart: that of a new port, and by link (taps, the bridge) those it is in. */
  vlans: v.optional(
    v.nullable(
      v.looseObject({
        defaultVlan: v.number(),
        byLink: v.record(
          v.string(),
          v.array(v.looseObject({ vid: v.number(), isPvid: v.boolean(), isUntagged: v.boolean() })),
        ),
      }),
    ),
    null,
  ),
  /** The taps whose option `hairpin` virlan has switched on. */
  reflecting: v.optional(v.array(v.string()), []),
  /** The parts that the kernel refused to load, and a digest of the circumstances: see lacking.ts. */
  lacking: v.optional(
    v.looseObject({
      parts: v.array(v.picklist(lackingParts)),
      under: v.string(),
    }),
    { parts: [], under: '' },
  ),
});

const format: RecordFormat<typeof schema> = {
  version: 2,
  migrations: [
    // Version 1 had rules by backend, of IPv4 alone.
    ({ rules, ...others }) => ({
      ...others,
      rules: Object.entries(rules ?? {}).map(([backend, loaded]) => ({ backend, family: 'ipv4', ...loaded })),
    }),
  ],
  schema,
};

export type AppliedRecord = v.InferOutput<typeof schema>;

const empty: AppliedRecord = {
  rules: [],
  addresses: [],
  dnsmasq: null,
  treatment: null,
  guard: null,
  tunnel: null,
  ports: {},
  entries: {},
  vlans: null,
  reflecting: [],
  lacking: { parts: [], under: '' },
};

function recordPath(bridge: string): string {
  return `${paths.run}/${bridge}.applied.json`;
}

/** Exists while a network is down because it was taken down. It is empty, and so fits on a full /run. */
function downPath(bridge: string): string {
  return `${paths.run}/${bridge}.down`;
}

/** Returns whether the network of a bridge was taken down since the host booted, and has to stay down. */
export function isTakenDown(bridge: string): boolean {
  return existsSync(downPath(bridge));
}

/** Records that the network of a bridge was taken down. Throws WriteError. */
export function recordIsDown(bridge: string): void {
  makeDirectory(paths.run, 0o700);
  writeAtomically(downPath(bridge), '', 0o600);
}

/** Records that the network of a bridge is to exist again. */
export function recordIsWanted(bridge: string): void {
  removeFile(downPath(bridge));
}

/** By bridge: a record that could not be written, and the text of the file that it was to replace. */
const unsaved = new Map<string, { readonly applied: AppliedRecord; readonly instead: string | null }>();

/**
 * Returns the record; an empty one when there is none or it is damaged, so that rules are loaded anew. What
 * this process could not write counts, until another process writes the file.
 */
export function readApplied(bridge: string): AppliedRecord {
  const text = readOwnIfReadable(recordPath(bridge));
  const kept = unsaved.get(bridge);
  if (kept !== undefined && kept.instead === text) return kept.applied;
  unsaved.delete(bridge);
  return text === null ? empty : parseApplied(text);
}

/** Returns whether this process has a record that it could not write. */
export function isUnsaved(bridge: string): boolean {
  return unsaved.has(bridge);
}

/** Reads a record of any version; a damaged one is read as empty. */
export function parseApplied(text: string): AppliedRecord {
  const parsed = parseRecord(text, format);
  return parsed.ok ? parsed.value : empty;
}

/** Writes the record. Throws WriteError; this process then remembers it. */
export function writeApplied(bridge: string, applied: AppliedRecord): void {
  try {
    makeDirectory(paths.run, 0o700);
    writeAtomically(recordPath(bridge), formatRecord(applied, format), 0o600);
    unsaved.delete(bridge);
  } catch (error) {
    unsaved.set(bridge, { applied, instead: readOwnIfReadable(recordPath(bridge)) });
    throw error;
  }
}

/** Removes the record, and the version of the hostsfile that dnsmasq was told of. */
export function removeApplied(bridge: string): void {
  unsaved.delete(bridge);
  for (const path of [recordPath(bridge), dnsmasqPaths(bridge).told]) removeFile(path);
}
