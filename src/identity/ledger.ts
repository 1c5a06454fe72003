import { formatIp, type Ipv4, parseIpv4 } from '../address/ip.ts';
import { type Mac, parseMac } from '../address/mac.ts';
import type { Result } from '../result.ts';
import { isoSeconds } from '../text.ts';

/** Whose choice a NIC's MAC was: the machine's own, virlan's by the formula, or its own and due to become the formula's. */
export type MacOrigin = 'own' | 'given' | 'due';

/** What was given to one NIC of one machine on one network. It wins over the formula. */
export interface LedgerEntry {
  readonly network: string;
  readonly uuid: string;
  /** The machine's name as its owner wrote it. */
  readonly name: string;
  /** The NIC's place when it was first seen. */
  readonly nic: number;
  /** The MAC it has, then those it had before and may come back to (a snapshot brings an old one). */
  readonly macs: readonly Mac[];
  readonly mac: MacOrigin;
  /** Null when the pool had none left, or when the MAC is another machine's. */
  readonly ip: Ipv4 | null;
  readonly hostname: string;
  readonly firstSeen: Date;
  /** To the hour: a newer time alone is not worth a write at every start. */
  readonly lastSeen: Date;
  readonly booted: boolean;
  /** When the machine was undefined; null while it is there. */
  readonly retired: Date | null;
  /** What the machine's owner ought to know: `status` shows it. */
  readonly problem: string | null;
}

/** What to do about a ledger that is damaged. */
export const ledgerRemedy = 'mend that line, or move the file away to begin a new ledger';

/** A line of the ledger that makes no sense. The file is left as it is. */
export class DamagedLedger extends Error {
  override readonly name = 'DamagedLedger';
}

const header = '{"virlan":"ledger","version":1}';

/** One byte a character: the ledger is ASCII, and what else a damaged line holds comes back as it was. */
const encoding = 'latin1';

const lineBreak = 0x0a;
const opening = Buffer.from('{"', encoding);
const closing = '}'.charCodeAt(0);

/**
 * All that was given, on all networks: a header, then one line of JSON for each NIC. In memory it stays the bytes of
 * the file, and a line is parsed when it is asked for, so that a hook does not pay for the ten thousand machines it is
 * not about. That a search hits the right field is certain because JSON escapes the quotes of a hostile name, and is
 * checked again on the parsed line.
 */
export class Ledger {
  /** As they are in the file: not to be changed. */
  readonly bytes: Buffer;
  readonly #file: string | null;
  /** What was searched for already. */
  readonly #found = new Map<string, LedgerEntry[]>();

  private constructor(bytes: Buffer, file: string | null) {
    this.bytes = bytes;
    this.#file = file;
  }

  static readonly empty = new Ledger(Buffer.from(`${header}\n`, encoding), null);

  /** Checks the form of every line, and no line's content: see `entries`. The file is named where a line is damaged. */
  static parse(bytes: Buffer, file: string | null = null): Result<Ledger> {
    if (bytes.length === 0) return { ok: true, value: Ledger.empty };
    const [first = ''] = bytes.toString(encoding, 0, header.length + 1).split('\n');
    if (first !== header) return { ok: false, error: `line 1 is not ${header}` };
    if (bytes.at(-1) !== lineBreak) {
      return { ok: false, error: `line ${lineNumber(bytes, bytes.length)} is cut short` };
    }
    for (let at = header.length + 1; at < bytes.length; ) {
      const next = bytes.indexOf(lineBreak, at);
      const isEntry = bytes[at] === opening[0] && bytes[at + 1] === opening[1] && bytes[next - 1] === closing;
      if (!isEntry) return { ok: false, error: `line ${lineNumber(bytes, at)} is no entry` };
      at = next + 1;
    }
    return { ok: true, value: new Ledger(bytes, file) };
  }

  isSameAs(other: Ledger): boolean {
    return this.bytes === other.bytes || this.bytes.equals(other.bytes);
  }

  /** Every entry. Throws DamagedLedger. */
  entries(): LedgerEntry[] {
    return this.#text()
      .split('\n')
      .slice(1, -1)
      .map((line, index) => this.#read(line, () => index + 2));
  }

  /** Throws DamagedLedger, as the searches below do when a line they hit is damaged. */
  ofMachine(network: string, uuid: string): LedgerEntry[] {
    return this.#find(`${uuid}"`, entry => entry.network === network && entry.uuid === uuid);
  }

  named(network: string, name: string): LedgerEntry[] {
    return this.#find(`"name":${ascii(name)}`, entry => entry.network === network && entry.name === name);
  }

  withMac(mac: Mac): LedgerEntry[] {
    return this.#find(`${mac}"`, entry => entry.macs.includes(mac));
  }

  withIp(ip: Ipv4): LedgerEntry[] {
    return this.#find(`${formatIp(ip)}"`, entry => entry.ip === ip);
  }

  withHostname(network: string, hostname: string): LedgerEntry[] {
    return this.#find(
      `"hostname":${ascii(hostname)}`,
      entry => entry.network === network && entry.hostname === hostname,
    );
  }

  /**
   * Whether an entry holds an address, for many addresses in turn: the first few are searched for, as a pool with room
   * needs no more; then all are read once.
   */
  addressTest(): (ip: Ipv4) => boolean {
    let searches = 16;
    let all: Set<string> | null = null;
    return ip => {
      if (searches-- > 0) return this.bytes.includes(`"ip":"${formatIp(ip)}"`, 0, encoding);
      all ??= new Set([...this.#text().matchAll(/"ip":"([\d.]+)"/g)].map(([, written = '']) => written));
      return all.has(formatIp(ip));
    };
  }

  /** The ledger with `after` in place of `before`; a null adds or removes. */
  replace(before: LedgerEntry | null, after: LedgerEntry | null): Ledger {
    const added = Buffer.from(after === null ? '' : `${formatLine(after)}\n`, encoding);
    if (before === null) return new Ledger(Buffer.concat([this.bytes, added]), this.#file);
    const line = Buffer.from(`${formatLine(before)}\n`, encoding);
    if (line.equals(added)) return this;
    const at = this.bytes.indexOf(`\n${formatLine(before)}\n`, 0, encoding) + 1;
    if (at === 0) throw new Error(`the ledger has no such entry: ${formatLine(before)}`);
    const parts = [this.bytes.subarray(0, at), added, this.bytes.subarray(at + line.length)];
    return new Ledger(Buffer.concat(parts), this.#file);
  }

  #text(): string {
    return this.bytes.toString(encoding);
  }

  #find(fragment: string, isMeant: (entry: LedgerEntry) => boolean): LedgerEntry[] {
    const found = this.#found.get(fragment) ?? this.#search(fragment);
    this.#found.set(fragment, found);
    return found.filter(isMeant);
  }

  #search(fragment: string): LedgerEntry[] {
    const found: LedgerEntry[] = [];
    for (let at = this.bytes.indexOf(fragment, header.length, encoding); at !== -1; ) {
      const first = this.bytes.lastIndexOf(lineBreak, at) + 1;
      const behind = this.bytes.indexOf(lineBreak, at);
      const line = this.bytes.toString(encoding, first, behind);
      found.push(this.#read(line, () => lineNumber(this.bytes, first)));
      at = this.bytes.indexOf(fragment, behind, encoding);
    }
    return found;
  }

  #read(line: string, number: () => number): LedgerEntry {
    return readLine(line, what => {
      const damage = `line ${number()} ${what}`;
      return new DamagedLedger(this.#file === null ? damage : `${this.#file}: ${damage}: ${ledgerRemedy}`);
    });
  }
}

/** Of the line that a place is in, from 1. */
function lineNumber(bytes: Buffer, place: number): number {
  return bytes.toString(encoding, 0, place).split('\n').length;
}

/** JSON in ASCII alone, so that the text is one byte a character in memory and a line never holds an odd line break. */
function ascii(value: unknown): string {
  return JSON.stringify(value).replace(
    /[^\x20-\x7e]/g,
    char => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function formatLine(entry: LedgerEntry): string {
  const time = (date: Date | null) => (date === null ? null : isoSeconds(date));
  return ascii({
    network: entry.network,
    uuid: entry.uuid,
    name: entry.name,
    nic: entry.nic,
    macs: entry.macs,
    mac: entry.mac,
    ip: entry.ip === null ? null : formatIp(entry.ip),
    hostname: entry.hostname,
    firstSeen: time(entry.firstSeen),
    lastSeen: time(entry.lastSeen),
    booted: entry.booted,
    retired: time(entry.retired),
    problem: entry.problem,
  });
}

function readLine(line: string, damaged: (what: string) => DamagedLedger): LedgerEntry {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(line);
  } catch {
    throw damaged('is no JSON');
  }
  const read = <T>(key: string, parse: (value: unknown) => T | undefined): T => {
    const value = parse(fields[key]);
    if (value === undefined) throw damaged(`has no valid "${key}"`);
    return value;
  };
  const text = (value: unknown) => (typeof value === 'string' ? value : undefined);
  const time = (value: unknown) =>
    Number.isNaN(Date.parse(text(value) ?? '')) ? undefined : new Date(String(value));
  const orNull =
    <T>(parse: (value: unknown) => T | undefined) =>
    (value: unknown) =>
      value === null ? null : parse(value);
  const entry: LedgerEntry = {
    network: read('network', text),
    uuid: read('uuid', text),
    name: read('name', text),
    nic: read('nic', value => (Number.isInteger(value) ? Number(value) : undefined)),
    macs: read('macs', value => {
      const macs = Array.isArray(value) ? value.map(mac => parseMac(String(mac))) : [null];
      return macs.every(mac => mac !== null) ? macs : undefined;
    }),
    mac: read('mac', value => (['own', 'given', 'due'] as const).find(origin => origin === value)),
    ip: read(
      'ip',
      orNull(value => parseIpv4(text(value) ?? '') ?? undefined),
    ),
    hostname: read('hostname', text),
    firstSeen: read('firstSeen', time),
    lastSeen: read('lastSeen', time),
    booted: read('booted', value => (typeof value === 'boolean' ? value : undefined)),
    retired: read('retired', orNull(time)),
    problem: read('problem', orNull(text)),
  };
  if (formatLine(entry) !== line) throw damaged('was written by another program');
  return entry;
}
