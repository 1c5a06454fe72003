// The ledger's formats: a file for each machine, with an entry for each of its NICs. See ledger-files.ts.
//   {
//     "uuid": "6b4a5c7e-…",
//     "entries": [
//       {
//         "network": "k8s-br0", "uuid": "6b4a5c7e-…", "name": "web", "nic": 0,
//         "macs": ["52:54:00:c5:f2:a7"], "mac": "given", "ip": "192.168.100.155", "hostname": "web",
//         "firstSeen": "2026-11-22T10:00:00Z", "lastSeen": "2026-11-22T10:00:00Z", "booted": true,
//         "retired": null, "problem": null
//       }
//     ],
//     "version": 1
//   }
// Fields that this version does not know are kept. An optional field that is missing has its default.
import * as v from 'valibot';
import { formatIp, type Ipv4, parseIpv4 } from '../address/ip.ts';
import { type Mac, parseMac } from '../address/mac.ts';
import { parseBootUrl } from '../config/boot.ts';
import type { BootUrl } from '../config/config.ts';
import { isAlias } from '../names/alias.ts';
import { uuidForm } from '../names/uuid.ts';
import { formatRecord, parseRecord, type RecordFormat } from '../records/record.ts';
import type { Result } from '../result.ts';
import { isoSeconds } from '../text.ts';
import type { RefusedAlias } from './alias-refusal.ts';
import type { ReservationProblem } from './problem.ts';

/**
 * The origin of a NIC's MAC: `own`, chosen by the machine's owner; `given`, by the formula; `due`, the
 * owner's and to be replaced by the formula's.
 */
export type MacOrigin = 'own' | 'given' | 'due';

/**
 * The MACs, the address and the names of one NIC of one machine on one network. An entry has precedence over
 * the formula.
 */
export interface LedgerEntry {
  readonly network: string;
  readonly uuid: string;
  /** The machine's name as its owner wrote it: hostile. */
  readonly name: string;
  /** The NIC's index when it was first seen. */
  readonly nic: number;
  /** The MAC it has, then those it had before and may have again (a snapshot restores an old one). */
  readonly macs: readonly Mac[];
  readonly macOrigin: MacOrigin;
  /** The MAC that virlan replaced by the present one in the definition; null when it replaced none. */
  readonly replacedMac: Mac | null;
  /** Null when the pool had none left, or when another NIC has the MAC. */
  readonly ip: Ipv4 | null;
  readonly hostname: string;
  /** To the second. */
  readonly firstSeen: Date;
  /** To the hour: a newer time alone is not worth a write at every start. */
  readonly lastSeen: Date;
  readonly booted: boolean;
  /** The time when the machine was undefined; null while it exists. */
  readonly retired: Date | null;
  /** Further names of the machine: names/alias.ts. Only NIC 0 has any. */
  readonly aliases: readonly string[];
  readonly refusedAliases: readonly RefusedAlias[];
  /** The URL that it loads when it boots from the network; null if it loads what its network says. */
  readonly boot: BootUrl | null;
  /** The group of machines that it reaches where machines are isolated; null for none. Hostile. */
  readonly group: string | null;
  /** True if libvirt isolates its port: it reaches no other such NIC. */
  readonly isolated: boolean;
  /** A problem for the machine's owner, which `virlan status` shows. */
  readonly problem: ReservationProblem | null;
  /** The other host of the cluster that the machine is on; null for this host. */
  readonly host: Ipv4 | null;
  /** The revision of etcd that it was last the same as; null where it has never been there. */
  readonly revision: number | null;
}

/** The fields of an entry or of a machine's file, known and unknown, in their order. */
export type Fields = Readonly<Record<string, unknown>>;

/** An entry, and its fields in the file. */
export interface StoredEntry {
  readonly entry: LedgerEntry;
  readonly fields: Fields;
}

/** The content of a machine's file. */
export interface MachineRecord {
  readonly fields: Fields;
  readonly entries: readonly StoredEntry[];
}

const uuidSchema = v.pipe(v.string(), v.regex(uuidForm));

const machineFormat = {
  version: 1,
  migrations: [],
  schema: v.looseObject({
    uuid: uuidSchema,
    entries: v.array(v.record(v.string(), v.unknown())),
  }),
} satisfies RecordFormat<v.GenericSchema>;

/** Reads the file of the machine with this UUID. */
export function parseMachine(text: string, uuid: string): Result<MachineRecord> {
  const record = parseRecord(text, machineFormat);
  if (!record.ok) return record;
  const entries: StoredEntry[] = [];
  for (const [index, fields] of record.value.entries.entries()) {
    const read = readEntry(fields);
    if (!read.ok) return { ok: false, error: `entry ${index + 1} ${read.error}` };
    entries.push({ fields, entry: read.value });
  }
  if (record.value.uuid !== uuid || entries.some(({ entry }) => entry.uuid !== uuid))
    return { ok: false, error: 'is about another machine' };
  return { ok: true, value: { fields: record.value, entries } };
}

/** Returns the text of a machine's file, with the unknown fields that it had. */
export function formatMachine(uuid: string, { fields, entries }: MachineRecord): string {
  const written = entries.map(stored => entryFields(stored));
  return formatRecord({ ...fields, uuid, entries: written }, machineFormat);
}

/**
 * Returns a schema for text in canonical form, which `format` would write for the parsed value: the index
 * compares text.
 */
function canonical<T>(parse: (text: string) => T | null, format: (value: T) => string) {
  return v.pipe(
    v.string(),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      const value = parse(dataset.value);
      if (value !== null && format(value) === dataset.value) return value;
      addIssue({ message: 'not in canonical form' });
      return NEVER;
    }),
  );
}

function parseTime(text: string): Date | null {
  const time = Date.parse(text);
  return Number.isNaN(time) ? null : new Date(time);
}

const timeSchema = canonical(parseTime, isoSeconds);
const macSchema = canonical(parseMac, mac => mac);
const addressSchema = canonical(parseIpv4, formatIp);
const holderSchema = v.union([
  v.object({ kind: v.picklist(['own-nic', 'gateway']) }),
  v.object({ kind: v.literal('machine'), machine: v.string() }),
]);

const heldCount = v.optional(v.number(), 0);
const heldSchema = v.object({
  reserved: heldCount,
  leased: heldCount,
  answered: heldCount,
  fixed: heldCount,
  elsewhere: heldCount,
});

const problemSchema = v.union([
  v.object({ kind: v.literal('mac-taken'), mac: macSchema, holder: holderSchema }),
  v.object({ kind: v.literal('address-taken'), address: addressSchema, holder: holderSchema }),
  v.object({ kind: v.literal('address-unusable'), address: addressSchema }),
  v.object({ kind: v.literal('line-unusable'), address: addressSchema }),
  v.object({ kind: v.literal('line-without-address'), mac: macSchema }),
  v.object({ kind: v.literal('mac-ignored'), mac: macSchema }),
  v.object({ kind: v.literal('hostname-taken'), label: v.string() }),
  v.object({ kind: v.literal('pool-exhausted'), held: v.optional(heldSchema, {}) }),
  v.object({ kind: v.literal('too-many-nics'), nics: v.number(), limit: v.number() }),
  v.object({ kind: v.picklist(['name-taken', 'runs-elsewhere']), host: addressSchema }),
  v.object({ kind: v.literal('metadata-invalid'), attribute: v.picklist(['mac', 'ip', 'hostname', 'boot']) }),
]);
const legacyProblem = v.pipe(
  v.string(),
  v.transform(text => ({ kind: 'legacy' as const, text })),
);

const refusedAliasSchema = v.union([
  v.object({
    alias: v.string(),
    reason: v.picklist(['invalid', 'special', 'outside', 'host-name', 'fixed', 'too-many']),
  }),
  v.object({ alias: v.string(), reason: v.literal('taken'), holder: holderSchema }),
]);

/** The entry has the URL alone. What this version would not accept counts as none. */
const bootSchema = v.pipe(
  v.string(),
  v.transform(text => parseBootUrl(text) || null),
);

const entrySchema = v.object({
  network: v.string(),
  uuid: uuidSchema,
  name: v.string(),
  nic: v.pipe(v.number(), v.integer()),
  macs: v.array(macSchema),
  mac: v.picklist(['own', 'given', 'due']),
  replacedMac: v.optional(v.nullable(macSchema), null),
  ip: v.nullable(addressSchema),
  hostname: v.string(),
  // Another version may accept others.
  aliases: v.optional(
    v.pipe(
      v.array(v.string()),
      v.transform(list => list.filter(isAlias)),
    ),
    [],
  ),
  // Like problems, they are found again at the machine's next start.
  refusedAliases: v.optional(v.fallback(v.array(refusedAliasSchema), []), []),
  boot: v.optional(bootSchema, ''),
  group: v.optional(v.nullable(v.string()), null),
  isolated: v.optional(v.boolean(), false),
  firstSeen: timeSchema,
  lastSeen: timeSchema,
  booted: v.boolean(),
  retired: v.optional(v.nullable(timeSchema), null),
  // A kind that only a newer virlan knows is not a damage: problems are found again at the machine's next
  // start.
  problem: v.optional(v.fallback(v.nullable(v.union([legacyProblem, problemSchema])), null), null),
  host: v.optional(v.nullable(addressSchema), null),
  revision: v.optional(v.nullable(v.number()), null),
});

/** Reads the fields of an entry. An error is the rest of a sentence: `has no valid "ip"`. */
export function readEntry(fields: unknown): Result<LedgerEntry> {
  const result = v.safeParse(entrySchema, fields);
  if (!result.success) {
    const key = String(result.issues[0].path?.[0]?.key ?? '');
    return { ok: false, error: `has no valid "${key}"` };
  }
  const { mac: macOrigin, ...rest } = result.output;
  return { ok: true, value: { ...rest, macOrigin } };
}

/** Returns the fields of an entry as they are written. Unknown ones of `fields` are kept. */
export function entryFields({ entry, fields }: StoredEntry): Fields {
  const { network, uuid, name, nic, macs, macOrigin, replacedMac, ip, hostname, booted, problem } = entry;
  const ifAny = <T>(list: readonly T[]) => (list.length === 0 ? undefined : list);
  return {
    ...fields,
    network,
    uuid,
    name,
    nic,
    macs,
    mac: macOrigin,
    // Left out when there is none, as in the lines of earlier versions.
    replacedMac: replacedMac ?? undefined,
    ip: ip === null ? null : formatIp(ip),
    hostname,
    aliases: ifAny(entry.aliases),
    refusedAliases: ifAny(entry.refusedAliases),
    boot: entry.boot?.url,
    group: entry.group ?? undefined,
    isolated: entry.isolated || undefined,
    firstSeen: isoSeconds(entry.firstSeen),
    lastSeen: isoSeconds(entry.lastSeen),
    booted,
    retired: entry.retired === null ? null : isoSeconds(entry.retired),
    problem: problem === null ? null : formatProblem(problem),
    host: entry.host === null ? undefined : formatIp(entry.host),
    revision: entry.revision ?? undefined,
  };
}

function formatProblem(problem: ReservationProblem): unknown {
  switch (problem.kind) {
    case 'legacy':
      return problem.text;
    case 'address-taken':
    case 'address-unusable':
    case 'line-unusable':
      return { ...problem, address: formatIp(problem.address) };
    case 'name-taken':
    case 'runs-elsewhere':
      return { ...problem, host: formatIp(problem.host) };
    case 'mac-taken':
    case 'line-without-address':
    case 'mac-ignored':
    case 'hostname-taken':
    case 'pool-exhausted':
    case 'too-many-nics':
    case 'metadata-invalid':
      return problem;
  }
}
