// The record of what virlan put on the host for one bridge since it booted: /run/virlan/BRIDGE.applied.json.
// A later listing of the kernel that differs from the recorded one is drift.
//
//   {"rules": [{"backend": "nftables", "family": "ipv4", "script": "table ip …", "listing": ["table ip …"]}],
//    "addresses": ["192.168.100.1/24"], "ports": {"vnet0": {"hairpin": true}}, "version": 2}
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import * as v from 'valibot';
import { dnsmasqPaths } from '../dnsmasq/paths.ts';
import { formatRecord, parseRecord, type RecordFormat } from '../records/record.ts';
import { readFileOrNull, writeAtomically } from '../system/files.ts';
import { paths } from '../system/paths.ts';
import { newPortOptions, type PortOption } from './state.ts';

const portOptionsSchema = v.partial(
  v.looseObject(v.entriesFromList(Object.keys(newPortOptions) as PortOption[], v.boolean())),
);

const schema = v.looseObject({
  rules: v.array(
    v.looseObject({
      backend: v.picklist(['nftables', 'iptables']),
      family: v.picklist(['ipv4', 'ipv6']),
      script: v.string(),
      /** Lines that the kernel listed right after loading. */
      listing: v.array(v.string()),
    }),
  ),
  /** Addresses of the bridge that virlan added, as `ADDRESS/LENGTH`. */
  addresses: v.array(v.string()),
  /** Options of the bridge's ports that were not those of a new one, by tap. */
  ports: v.optional(v.record(v.string(), portOptionsSchema), {}),
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

export type AppliedRules = AppliedRecord['rules'][number];

const empty: AppliedRecord = { rules: [], addresses: [], ports: {} };

function recordPath(bridge: string): string {
  return `${paths.run}/${bridge}.applied.json`;
}

/**
 * Returns whether virlan established the network of a bridge since the host booted, and has not taken it
 * down.
 */
export function isEstablished(bridge: string): boolean {
  return existsSync(recordPath(bridge));
}

/** Returns the record; an empty one when there is none or it is damaged, so that rules are loaded anew. */
export function readApplied(bridge: string): AppliedRecord {
  const text = readFileOrNull(recordPath(bridge));
  return text === null ? empty : parseApplied(text);
}

/** Reads a record of any version; a damaged one is read as empty. */
export function parseApplied(text: string): AppliedRecord {
  const parsed = parseRecord(text, format);
  return parsed.ok ? parsed.value : empty;
}

/** Writes the record. */
export function writeApplied(bridge: string, applied: AppliedRecord): void {
  mkdirSync(paths.run, { recursive: true, mode: 0o700 });
  writeAtomically(recordPath(bridge), formatRecord(applied, format), 0o600);
}

/** Removes the record, and the version of the hostsfile that dnsmasq was told of. */
export function removeApplied(bridge: string): void {
  for (const path of [recordPath(bridge), dnsmasqPaths(bridge).told]) rmSync(path, { force: true });
}
