// The ledger in memory: a view of the entries of all NICs on all networks, and the changes to be written.
import { isDeepStrictEqual } from 'node:util';
import { formatIp, type Ipv4 } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import { isWildcard } from '../names/alias.ts';
import { digest } from '../names/digest.ts';
import { isoSeconds } from '../text.ts';
import { formatMachine, type LedgerEntry, type MachineRecord, type StoredEntry } from './ledger-format.ts';

/**
 * A key of the index, `ip/192.168.100.155`: its kind, and a value that can be the name of a file. Names are
 * hostile: their key is a digest.
 */
export type IndexKey = `${'ip' | 'mac' | 'name' | 'hostname' | 'retired'}/${string}`;

const keyOf = {
  ip: (ip: Ipv4): IndexKey => `ip/${formatIp(ip)}`,
  mac: (mac: Mac): IndexKey => `mac/${mac}`,
  name: (network: string, name: string): IndexKey => `name/${short(network, name)}`,
  hostname: (network: string, hostname: string): IndexKey => `hostname/${short(network, hostname)}`,
  // With the address, because many machines may be retired in one second.
  retired: (since: Date, ip: Ipv4): IndexKey => `retired/${isoSeconds(since)},${formatIp(ip)}`,
};

/** Return the keys of an address, of a machine's name, and of a host name or an alias. */
export const [keyOfIp, keyOfName, keyOfHostname] = [keyOf.ip, keyOf.name, keyOf.hostname];

/** Returns the keys that lead to the entries of a machine. */
export function keysOf(record: MachineRecord | null): Set<IndexKey> {
  const keys = (record?.entries ?? []).flatMap(({ entry }) => [
    keyOf.name(entry.network, entry.name),
    ...[entry.hostname, ...plainAliases(entry)].map(name => keyOf.hostname(entry.network, name)),
    ...entry.macs.map(keyOf.mac),
    ...(entry.ip === null ? [] : [keyOf.ip(entry.ip)]),
    ...retiredKey(entry),
  ]);
  return new Set(keys);
}

/** Returns the key of a retired entry that has an address; none for another. Keys have the order of time. */
function retiredKey({ retired, ip }: LedgerEntry): IndexKey[] {
  return retired === null || ip === null ? [] : [keyOf.retired(retired, ip)];
}

/** The place that the entries are read from. Machines are named by UUID. */
export interface LedgerSource {
  machine(uuid: string): MachineRecord | null;
  /** Returns the machines that may have an entry with this key. */
  holders(key: IndexKey): readonly string[];
  /** Returns the addresses of all entries, as text. */
  addresses(): Iterable<string>;
  /** Returns the machines with an entry that is not retired. */
  present(): readonly string[];
  /** Returns the other machines. */
  retired(): readonly string[];
  /** Returns the keys of retired entries that have an address, `retired/…`, in order, and their machines. */
  retirements(): Iterable<readonly [key: IndexKey, uuid: string]>;
}

const nothing: LedgerSource = {
  machine: () => null,
  holders: () => [],
  addresses: () => [],
  present: () => [],
  retired: () => [],
  retirements: () => [],
};

/** A machine whose file must be written, or removed when `after` is null. */
export interface MachineChange {
  readonly uuid: string;
  readonly before: MachineRecord | null;
  readonly after: MachineRecord | null;
}

/** Most addresses that are looked up one by one: then it is faster to read the list of those that are held. */
const maxLookups = 32;

/**
 * An immutable ledger. A search reads the few machines that the index leads to, so that a hook does not pay
 * for ten thousand machines that it does not start.
 */
export class Ledger {
  readonly #source: LedgerSource;
  /** The machines that differ from the source; one without entries is gone. */
  readonly #changed: ReadonlyMap<string, MachineRecord>;
  #lookups = 0;
  #held: ReadonlySet<string> | null = null;
  #elsewhere: readonly LedgerEntry[] | null = null;

  private constructor(source: LedgerSource, changed: ReadonlyMap<string, MachineRecord>) {
    this.#source = source;
    this.#changed = changed;
  }

  static readonly empty = new Ledger(nothing, new Map());

  /** Returns the ledger that a source has. */
  static from(source: LedgerSource): Ledger {
    return new Ledger(source, new Map());
  }

  /** Returns a ledger of these entries, none of which is written yet. */
  static of(entries: readonly StoredEntry[]): Ledger {
    const machines = new Map<string, StoredEntry[]>();
    for (const stored of entries) {
      const { uuid } = stored.entry;
      const known = machines.get(uuid);
      if (known === undefined) machines.set(uuid, [stored]);
      else known.push(stored);
    }
    const records = [...machines].map(([uuid, own]) => [uuid, { fields: {}, entries: own }] as const);
    return new Ledger(nothing, new Map(records));
  }

  /** Returns the machines whose files have to be written. */
  changes(): MachineChange[] {
    return [...this.#changed].flatMap(([uuid, record]) => {
      const before = this.#source.machine(uuid);
      const after = record.entries.length === 0 ? null : record;
      const isSame =
        before === null || after === null
          ? before === after
          : formatMachine(uuid, before) === formatMachine(uuid, after);
      return isSame ? [] : [{ uuid, before, after }];
    });
  }

  /**
   * Returns every entry, retired ones included. It reads all files, as `present` does. Throws VirlanError
   * 'damaged-file', as the searches below do for the machines they find.
   */
  entries(): LedgerEntry[] {
    return this.#entriesOf([...this.#source.present(), ...this.#source.retired()]);
  }

  /** Returns every entry that is not retired. */
  present(): LedgerEntry[] {
    return this.#entriesOf(this.#source.present()).filter(entry => entry.retired === null);
  }

  /** Returns the entries of machines on other hosts that are not retired. The first call reads all files. */
  elsewhere(): readonly LedgerEntry[] {
    this.#elsewhere ??= this.present().filter(({ host }) => host !== null);
    return this.#elsewhere;
  }

  /** Returns the retired entries that have an address, the longest retired first; reads them one by one. */
  *retired(): Generator<LedgerEntry> {
    const changed = [...this.#changed.values()]
      .flatMap(({ entries }) =>
        entries.flatMap(({ entry }) => retiredKey(entry).map(key => ({ entry, key }))),
      )
      .sort((a, b) => (a.key < b.key ? -1 : 1));
    for (const [key, uuid] of this.#source.retirements()) {
      if (this.#changed.has(uuid)) continue;
      for (let next = changed[0]; next !== undefined && next.key < key; next = changed[0]) {
        changed.shift();
        yield next.entry;
      }
      yield* this.ofUuid(uuid).filter(entry => retiredKey(entry).includes(key));
    }
    yield* changed.map(({ entry }) => entry);
  }

  /** Returns the entries of a machine on all networks. */
  ofUuid(uuid: string): LedgerEntry[] {
    return this.#record(uuid).entries.map(({ entry }) => entry);
  }

  ofMachine(network: string, uuid: string): LedgerEntry[] {
    return this.ofUuid(uuid).filter(entry => entry.network === network);
  }

  named(network: string, name: string): LedgerEntry[] {
    const isMeant = (entry: LedgerEntry) => entry.network === network && entry.name === name;
    return this.#find(keyOf.name(network, name), isMeant);
  }

  /** Returns the entries with this MAC on all networks. */
  withMac(mac: Mac): LedgerEntry[] {
    return this.#find(keyOf.mac(mac), entry => entry.macs.includes(mac));
  }

  withMacOn(network: string, mac: Mac): LedgerEntry[] {
    return this.withMac(mac).filter(entry => entry.network === network);
  }

  withIp(network: string, ip: Ipv4): LedgerEntry[] {
    return this.#find(keyOf.ip(ip), entry => entry.network === network && entry.ip === ip);
  }

  /** Returns the entries with this host name or alias, wildcards aside: those are below a host name. */
  withHostname(network: string, hostname: string): LedgerEntry[] {
    const isMeant = (entry: LedgerEntry) =>
      entry.network === network && (entry.hostname === hostname || plainAliases(entry).includes(hostname));
    return this.#find(keyOf.hostname(network, hostname), isMeant);
  }

  /** Returns whether an entry of a network has this address. */
  hasIp(network: string, ip: Ipv4): boolean {
    if (this.#lookups++ >= maxLookups) this.#held ??= this.#readAddresses();
    return this.#held?.has(formatIp(ip)) !== false && this.withIp(network, ip).length > 0;
  }

  /**
   * Returns the ledger with `after` in place of `before`, whose unknown fields it keeps; a null `before`
   * adds, a null `after` removes. Throws when no entry equals `before`.
   */
  replace(before: LedgerEntry | null, after: LedgerEntry | null): Ledger {
    if (isDeepStrictEqual(before, after)) return this;
    const changed = new Map(this.#changed);
    let fields = {};
    if (before !== null) {
      const record = this.#record(before.uuid);
      const at = record.entries.findIndex(({ entry }) => isDeepStrictEqual(entry, before));
      const found = record.entries[at];
      if (found === undefined) throw new Error('the ledger has no such entry');
      ({ fields } = found);
      const inPlace = after?.uuid === before.uuid ? [{ entry: after, fields }] : [];
      changed.set(before.uuid, { ...record, entries: record.entries.toSpliced(at, 1, ...inPlace) });
    }
    if (after !== null && after.uuid !== before?.uuid) {
      const record = this.#record(after.uuid);
      changed.set(after.uuid, { ...record, entries: [...record.entries, { entry: after, fields }] });
    }
    return new Ledger(this.#source, changed);
  }

  #record(uuid: string): MachineRecord {
    return this.#changed.get(uuid) ?? this.#source.machine(uuid) ?? { fields: {}, entries: [] };
  }

  #find(key: IndexKey, isMeant: (entry: LedgerEntry) => boolean): LedgerEntry[] {
    const uuids = this.#source.holders(key);
    const found = uuids.flatMap(uuid => this.ofUuid(uuid).filter(isMeant));
    // Without lists of them: machines that are decided about together are searched for each other.
    for (const [uuid, { entries }] of this.#changed)
      for (const { entry } of entries) if (isMeant(entry) && !uuids.includes(uuid)) found.push(entry);
    return found;
  }

  /** Returns the entries of machines of the source, and of all that have changed. */
  #entriesOf(uuids: readonly string[]): LedgerEntry[] {
    return [...new Set([...uuids, ...this.#changed.keys()])].flatMap(uuid => this.ofUuid(uuid));
  }

  #readAddresses(): ReadonlySet<string> {
    const addresses = new Set(this.#source.addresses());
    const written = ({ entries }: MachineRecord) =>
      entries.flatMap(({ entry: { ip } }) => (ip === null ? [] : [formatIp(ip)]));
    for (const uuid of this.#changed.keys())
      for (const address of written(this.#source.machine(uuid) ?? { fields: {}, entries: [] }))
        addresses.delete(address);
    for (const record of this.#changed.values())
      for (const address of written(record)) addresses.add(address);
    return addresses;
  }
}

function plainAliases({ aliases }: LedgerEntry): string[] {
  return aliases.filter(alias => !isWildcard(alias));
}

function short(network: string, name: string): string {
  return digest(JSON.stringify([network, name])).toString('hex', 0, 16);
}
