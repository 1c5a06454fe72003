// The ledger in memory: the entries of all NICs on all networks. See ledger-format.ts.
import { isDeepStrictEqual } from 'node:util';
import { formatIp, type Ipv4 } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import { VirlanError } from '../errors.ts';
import {
  ascii,
  encoding,
  type Fields,
  formatLine,
  header,
  type LedgerEntry,
  ledgerVersion,
  migrateLine,
  readLine,
  readVersion,
} from './ledger-format.ts';

const remedy = 'repair that line, or move the file away to begin a new ledger';

const lineBreak = 0x0a;
const opening = Buffer.from('{"', encoding);
const closing = '}'.charCodeAt(0);

/** An entry, and the offsets of its line in the file; `behind` is that of the line break. */
interface Line {
  readonly start: number;
  readonly behind: number;
  readonly fields: Fields;
  readonly entry: LedgerEntry;
}

/**
 * An immutable ledger. It keeps the bytes of the file and parses a line only when it is searched, so that a
 * hook does not pay for ten thousand machines that it does not start. A search finds only the right field
 * because JSON escapes the quotes of a hostile name, and the parsed line is checked again.
 */
export class Ledger {
  /** The content of the file. Do not change it. */
  readonly bytes: Buffer;
  readonly #path: string | null;
  readonly #bodyStart: number;
  /** Text searched for → the lines that contain it. */
  readonly #found = new Map<string, readonly Line[]>();
  #wasAskedForIp = false;
  #addresses: ReadonlySet<string> | null = null;

  private constructor(bytes: Buffer, path: string | null) {
    this.bytes = bytes;
    this.#path = path;
    this.#bodyStart = bytes.indexOf(lineBreak) + 1;
  }

  static readonly empty = new Ledger(Buffer.from(`${header}\n`, encoding), null);

  /**
   * Reads a file; one without content is an empty ledger. Checks the form of every line, and the content of
   * none (see `entries`). `path` is for messages. Throws VirlanError: 'damaged-file', or 'newer-format' for a
   * version that only a newer virlan knows.
   */
  static parse(bytes: Buffer, path: string | null = null): Ledger {
    if (bytes.length === 0) return Ledger.empty;
    const ledger = new Ledger(bytes, path);
    const [first = ''] = bytes.toString(encoding, 0, ledger.#bodyStart || bytes.length).split('\n');
    const version = readVersion(first);
    if (version === null) throw ledger.#damaged(0, `is not ${header}`);
    if (bytes.at(-1) !== lineBreak) throw ledger.#damaged(bytes.length, 'is cut short');
    if (version > ledgerVersion) {
      const known = `this virlan knows versions up to ${ledgerVersion}`;
      const message = `the ledger has version ${version}, ${known}: install a newer virlan`;
      throw new VirlanError('newer-format', path === null ? message : `${path}: ${message}`);
    }
    for (let start = ledger.#bodyStart; start < bytes.length; ) {
      const behind = bytes.indexOf(lineBreak, start);
      const isEntry =
        bytes[start] === opening[0] && bytes[start + 1] === opening[1] && bytes[behind - 1] === closing;
      if (!isEntry) throw ledger.#damaged(start, 'is not an entry');
      start = behind + 1;
    }
    return version === ledgerVersion ? ledger : ledger.#migrated(version);
  }

  /** Returns whether two ledgers have the same bytes. */
  isSameAs(other: Ledger): boolean {
    return this.bytes === other.bytes || this.bytes.equals(other.bytes);
  }

  /**
   * Returns every entry. Throws VirlanError 'damaged-file', as the searches below do for the lines they find.
   */
  entries(): LedgerEntry[] {
    const entries: LedgerEntry[] = [];
    for (let start = this.#bodyStart; start < this.bytes.length; ) {
      const line = this.#readAt(start);
      entries.push(line.entry);
      start = line.behind + 1;
    }
    return entries;
  }

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
   * Returns whether an entry of any network has this address, also in a line that is otherwise damaged. The
   * first call searches for it, which is enough while the pool has room; the second reads all addresses,
   * which takes ten times as long.
   */
  hasIp(ip: Ipv4): boolean {
    const written = formatIp(ip);
    if (!this.#wasAskedForIp) {
      this.#wasAskedForIp = true;
      return this.bytes.includes(`"ip":"${written}"`, this.#bodyStart, encoding);
    }
    this.#addresses ??= readAddresses(this.bytes.toString(encoding));
    return this.#addresses.has(written);
  }

  /**
   * Returns the ledger with `after` in place of `before`, whose unknown fields it keeps; a null `before`
   * adds, a null `after` removes. Throws when no entry equals `before`.
   */
  replace(before: LedgerEntry | null, after: LedgerEntry | null): Ledger {
    if (before === null) {
      return after === null ? this : this.#splice(this.bytes.length, this.bytes.length, formatLine(after));
    }
    if (after !== null && isDeepStrictEqual(before, after)) return this;
    const line = this.#search(`${before.uuid}"`).find(({ entry }) => isDeepStrictEqual(entry, before));
    if (line === undefined) throw new Error(`the ledger has no such entry: ${formatLine(before)}`);
    const text = after === null ? null : formatLine(after, line.fields);
    return this.#splice(line.start, line.behind + 1, text);
  }

  #splice(start: number, end: number, line: string | null): Ledger {
    const added = Buffer.from(line === null ? '' : `${line}\n`, encoding);
    const parts = [this.bytes.subarray(0, start), added, this.bytes.subarray(end)];
    return new Ledger(Buffer.concat(parts), this.#path);
  }

  #migrated(version: number): Ledger {
    const lines = this.bytes.toString(encoding, this.#bodyStart).split('\n').slice(0, -1);
    const migrated = lines.map(line => migrateLine(line, version));
    return new Ledger(Buffer.from(`${[header, ...migrated].join('\n')}\n`, encoding), this.#path);
  }

  #find(text: string, isMeant: (entry: LedgerEntry) => boolean): LedgerEntry[] {
    return this.#search(text)
      .map(({ entry }) => entry)
      .filter(isMeant);
  }

  #search(text: string): readonly Line[] {
    const known = this.#found.get(text);
    if (known !== undefined) return known;
    const found: Line[] = [];
    for (let at = this.bytes.indexOf(text, this.#bodyStart, encoding); at !== -1; ) {
      const line = this.#readAt(this.bytes.lastIndexOf(lineBreak, at) + 1);
      found.push(line);
      at = this.bytes.indexOf(text, line.behind, encoding);
    }
    this.#found.set(text, found);
    return found;
  }

  #readAt(start: number): Line {
    const behind = this.bytes.indexOf(lineBreak, start);
    const read = readLine(this.bytes.toString(encoding, start, behind));
    if (read.kind === 'damaged') throw this.#damaged(start, read.what);
    return { start, behind, fields: read.fields, entry: read.entry };
  }

  #damaged(place: number, what: string): VirlanError {
    const damage = `line ${this.bytes.toString(encoding, 0, place).split('\n').length} ${what}`;
    return new VirlanError(
      'damaged-file',
      this.#path === null ? damage : `${this.#path}: ${damage}: ${remedy}`,
    );
  }
}

function readAddresses(text: string): ReadonlySet<string> {
  return new Set([...text.matchAll(/"ip":"([\d.]+)"/g)].map(([, written = '']) => written));
}
