// The ledger's file format: a header, then one line of JSON in ASCII for each NIC.
//   {"virlan":"ledger","version":1}
//   {"network":"k8s-br0","uuid":"6b4a5c7e-…","name":"web","nic":0,"macs":["52:54:00:c5:f2:a7"],
//    "mac":"given","ip":"192.168.100.155","hostname":"web","firstSeen":"2026-11-22T10:00:00Z",
//    "lastSeen":"2026-11-22T10:00:00Z","booted":true,"retired":null,"problem":null}     (all in one line)
// Fields that this version does not know are kept. An optional field that is missing has its default.
import * as v from 'valibot';
import { formatIp, type Ipv4, parseIpv4 } from '../address/ip.ts';
import { type Mac, parseMac } from '../address/mac.ts';
import { isoSeconds } from '../text.ts';
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
  /** When the machine was undefined; null while it exists. */
  readonly retired: Date | null;
  /** A problem for the machine's owner, which `virlan status` shows. */
  readonly problem: ReservationProblem | null;
}

/** The fields of a line, known and unknown, in their order. */
export type Fields = Readonly<Record<string, unknown>>;

/** Rewrites the fields of one entry from one version of the format to the next. */
export type Migration = (fields: Fields) => Fields;

/** The first migrates from version 1 to 2, and so on. */
const migrations: readonly Migration[] = [];

/** The version that this program writes. */
export const ledgerVersion = migrations.length + 1;

export const header = `{"virlan":"ledger","version":${ledgerVersion}}`;

/**
 * One byte per character: the ledger is ASCII, and other bytes of a damaged line are written back unchanged.
 */
export const encoding = 'latin1';

const headerSchema = v.object({
  virlan: v.literal('ledger'),
  version: v.pipe(v.number(), v.integer(), v.minValue(1)),
});

/** Returns the version that a header states; null for a line that is not a header. */
export function readVersion(line: string): number | null {
  const result = v.safeParse(headerSchema, parseJson(line));
  return result.success ? result.output.version : null;
}

/** Returns a line of an older version in the present version; a damaged line unchanged. */
export function migrateLine(line: string, version: number, steps: readonly Migration[] = migrations): string {
  const fields = parseJson(line);
  if (fields === undefined) return line;
  return ascii(steps.slice(version - 1).reduce((migrated, step) => step(migrated), fields as Fields));
}

/**
 * Returns a schema for text in canonical form, which `format` would write for the parsed value: searches
 * compare text.
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
  v.object({ kind: v.literal('own-nic') }),
  v.object({ kind: v.literal('machine'), machine: v.string() }),
]);

const heldCount = v.optional(v.number(), 0);
const heldSchema = v.object({
  reserved: heldCount,
  leased: heldCount,
  answered: heldCount,
  fixed: heldCount,
});

/** The address of a problem is called `address`, so that a search for `"ip":"…"` does not find it. */
const problemSchema = v.union([
  v.object({ kind: v.literal('mac-taken'), mac: macSchema, holder: holderSchema }),
  v.object({ kind: v.literal('address-taken'), address: addressSchema, holder: holderSchema }),
  v.object({ kind: v.literal('address-unusable'), address: addressSchema }),
  v.object({ kind: v.literal('hostname-taken'), label: v.string() }),
  v.object({ kind: v.literal('pool-exhausted'), held: v.optional(heldSchema, {}) }),
  v.object({ kind: v.literal('too-many-nics'), nics: v.number(), limit: v.number() }),
  v.object({ kind: v.literal('metadata-invalid'), attribute: v.picklist(['mac', 'ip', 'hostname']) }),
]);
const legacyProblem = v.pipe(
  v.string(),
  v.transform(text => ({ kind: 'legacy' as const, text })),
);

const entrySchema = v.object({
  network: v.string(),
  uuid: v.string(),
  name: v.string(),
  nic: v.pipe(v.number(), v.integer()),
  macs: v.array(macSchema),
  mac: v.picklist(['own', 'given', 'due']),
  replacedMac: v.optional(v.nullable(macSchema), null),
  ip: v.nullable(addressSchema),
  hostname: v.string(),
  firstSeen: timeSchema,
  lastSeen: timeSchema,
  booted: v.boolean(),
  retired: v.optional(v.nullable(timeSchema), null),
  // A kind that only a newer virlan knows is not a damage: problems are found again at the machine's next
  // start.
  problem: v.optional(v.fallback(v.nullable(v.union([legacyProblem, problemSchema])), null), null),
});

export type ReadLine =
  | { readonly kind: 'entry'; readonly fields: Fields; readonly entry: LedgerEntry }
  /** The rest of the sentence "line 7 …": `has no valid "ip"`. */
  | { readonly kind: 'damaged'; readonly what: string };

/** Reads one line, without its line break. Never throws. */
export function readLine(line: string): ReadLine {
  const value = parseJson(line);
  if (value === undefined) return { kind: 'damaged', what: 'is not JSON' };
  // A search for a field's text finds it only in the notation that virlan writes.
  if (ascii(value) !== line) return { kind: 'damaged', what: 'was changed by another program' };
  const result = v.safeParse(entrySchema, value);
  if (!result.success) {
    const key = String(result.issues[0].path?.[0]?.key ?? '');
    return { kind: 'damaged', what: `has no valid "${key}"` };
  }
  const { mac: macOrigin, ...rest } = result.output;
  return { kind: 'entry', fields: value as Fields, entry: { ...rest, macOrigin } };
}

/** Returns the line of an entry. Unknown fields of `earlier`, the line that it replaces, are kept. */
export function formatLine(entry: LedgerEntry, earlier: Fields = {}): string {
  const { network, uuid, name, nic, macs, macOrigin, replacedMac, ip, hostname, booted, problem } = entry;
  return ascii({
    ...earlier,
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
    firstSeen: isoSeconds(entry.firstSeen),
    lastSeen: isoSeconds(entry.lastSeen),
    booted,
    retired: entry.retired === null ? null : isoSeconds(entry.retired),
    problem: problem === null ? null : formatProblem(problem),
  });
}

/**
 * Returns JSON in ASCII alone, so that a character is a byte in memory and a line never holds a line break.
 */
export function ascii(value: unknown): string {
  return JSON.stringify(value).replace(
    /[^\x20-\x7e]/g,
    char => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function formatProblem(problem: ReservationProblem): unknown {
  switch (problem.kind) {
    case 'legacy':
      return problem.text;
    case 'address-taken':
    case 'address-unusable':
      return { ...problem, address: formatIp(problem.address) };
    case 'mac-taken':
    case 'hostname-taken':
    case 'pool-exhausted':
    case 'too-many-nics':
    case 'metadata-invalid':
      return problem;
  }
}

/** Returns undefined, which JSON cannot hold, for a text that is not JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
