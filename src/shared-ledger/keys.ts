// The keys of a network in etcd. A digest stands for a name in a key, as in the index of the ledger on disk.
//   /virlan/100/host/10.0.0.2                {"machine": "6f1c…"}     a host that has joined, running or not
//   /virlan/100/alive/10.0.0.2               {"machine": "6f1c…"}     the same while its watcher runs: with a lease
//   /virlan/100/block/192.168.100.16         {"host": "10.0.0.2"}     only this host gives new addresses of the block
//   /virlan/100/machine/6b4a5c7e-…           {"host": "10.0.0.2", "entries": [{"nic": 0, …}]}
//   /virlan/100/claim/ip/192.168.100.155     "6b4a5c7e-…"             the machine that has an address, a MAC or a name
// Values are validated when read. An invalid one is left out and never overwritten: a later virlan may have written it.
import * as v from 'valibot';
import { formatIp, type Ipv4, parseIpv4 } from '../address/ip.ts';
import { type IndexKey, keysOf } from '../identity/ledger.ts';
import {
  entryFields,
  type Fields,
  type LedgerEntry,
  readEntry,
  type StoredEntry,
} from '../identity/ledger-format.ts';
import { uuidForm } from '../names/uuid.ts';
import type { Pair } from './transaction.ts';

/** Returns the beginning of all keys of a network. */
export function prefixOf(vni: number): string {
  return `/virlan/${vni}/`;
}

export const keyOf = {
  host: (host: Ipv4) => `host/${formatIp(host)}`,
  alive: (host: Ipv4) => `alive/${formatIp(host)}`,
  block: (first: Ipv4) => `block/${formatIp(first)}`,
  machine: (uuid: string) => `machine/${uuid}`,
  claim: (claim: IndexKey) => `claim/${claim}`,
};

/** A machine as etcd has it. */
export interface SharedMachine {
  readonly host: Ipv4;
  /** Each is of the network, and has no host: that is the machine's. */
  readonly entries: readonly StoredEntry[];
}

/** A key and its value. `value` is null where it was deleted, or is not valid. */
export type SharedPair =
  | { readonly kind: 'host' | 'alive'; readonly host: Ipv4; readonly value: string | null }
  | { readonly kind: 'block'; readonly first: Ipv4; readonly value: Ipv4 | null }
  | { readonly kind: 'machine'; readonly uuid: string; readonly value: SharedMachine | null }
  | { readonly kind: 'claim'; readonly claim: IndexKey; readonly value: string | null };

/** Longest value that is read: a machine with 128 NICs has less. */
const maxValueLength = 2 ** 18;

const address = v.pipe(
  v.string(),
  v.transform(parseIpv4),
  v.check(ip => ip !== null),
  v.transform(ip => ip as Ipv4),
);
const hostSchema = v.looseObject({ machine: v.pipe(v.string(), v.regex(/^[0-9a-f]{8,64}$/)) });
const blockSchema = v.looseObject({ host: address });
const machineSchema = v.looseObject({
  host: address,
  entries: v.pipe(v.array(v.record(v.string(), v.unknown())), v.minLength(1)),
});

/** Reads a pair, whose key is without the prefix of its network; null for a key that is none of virlan's. */
export function readPair(network: string, { key, value: text }: Pair): SharedPair | null {
  const [, kind, name = ''] = /^(host|alive|block|machine|claim)\/(.+)$/.exec(key) ?? [];
  const ip = parseIpv4(name);
  switch (kind) {
    case 'host':
    case 'alive':
      return ip === null ? null : { kind, host: ip, value: parse(text, hostSchema)?.machine ?? null };
    case 'block':
      return ip === null ? null : { kind, first: ip, value: parse(text, blockSchema)?.host ?? null };
    case 'machine':
      return uuidForm.test(name) ? { kind, uuid: name, value: readMachine(network, name, text) } : null;
    case 'claim': {
      const value = text !== null && uuidForm.test(text) ? text : null;
      return /^(ip|mac|name|hostname)\/[\w.:-]+$/.test(name)
        ? { kind, claim: name as IndexKey, value }
        : null;
    }
  }
  return null;
}

function parse<T extends v.GenericSchema>(text: string | null, schema: T): v.InferOutput<T> | null {
  if (text === null || text.length > maxValueLength) return null;
  try {
    const result = v.safeParse(schema, JSON.parse(text));
    return result.success ? result.output : null;
  } catch {
    return null;
  }
}

function readMachine(network: string, uuid: string, text: string | null): SharedMachine | null {
  const read = parse(text, machineSchema);
  if (read === null) return null;
  const entries: StoredEntry[] = [];
  for (const fields of read.entries) {
    const result = readEntry({ ...fields, uuid, network });
    if (!result.ok) return null;
    entries.push({ fields, entry: inShared(result.value) });
  }
  return { host: read.host, entries };
}

/** Returns the value of a host. `machine` tells two hosts with one address apart. */
export function hostValue(machine: string): string {
  return JSON.stringify({ machine });
}

/** Returns the value of a block. */
export function blockValue(host: Ipv4): string {
  return JSON.stringify({ host: formatIp(host) });
}

/** Returns the value of a machine. Fields of a later virlan are kept. */
export function machineValue({ host, entries }: SharedMachine): string {
  return JSON.stringify({ host: formatIp(host), entries: entries.map(writtenFields) });
}

/** Both are in the key. */
function writtenFields(stored: StoredEntry): Fields {
  const { network: _, uuid: __, ...fields } = entryFields(stored);
  return fields;
}

/** Returns an entry without what concerns its own host only. That its name is another's tells others who has it. */
export function inShared(entry: LedgerEntry): LedgerEntry {
  const problem = entry.problem?.kind === 'name-taken' ? entry.problem : null;
  return { ...entry, problem, refusedAliases: [], host: null, revision: null };
}

/** Returns what the entries of a machine claim. Those of one that is retired hold their addresses only. */
export function claimsOf(entries: readonly LedgerEntry[]): Set<IndexKey> {
  const keys = entries.flatMap(entry => {
    const own = [...keysOf({ fields: {}, entries: [{ entry, fields: {} }] })];
    return own.filter(key => (entry.retired === null ? !key.startsWith('retired/') : key.startsWith('ip/')));
  });
  return new Set(keys);
}
