// ledger.test.ts: tests the ledger in memory, its searches, and the formats of its files.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { suite } from 'uvu';
import type { Ipv4 } from '../../src/address/ip.ts';
import { parseBootUrl } from '../../src/config/boot.ts';
import type { RefusedAlias } from '../../src/identity/alias-refusal.ts';
import { type IndexKey, keysOf, Ledger, type LedgerSource } from '../../src/identity/ledger.ts';
import {
  entryFields,
  formatMachine,
  type LedgerEntry,
  type MachineRecord,
  parseMachine,
} from '../../src/identity/ledger-format.ts';
import { header, readLines, readVersion } from '../../src/identity/ledger-lines.ts';
import type { ReservationProblem } from '../../src/identity/problem.ts';
import { retire } from '../../src/identity/retire.ts';
import { aDate, anyName, entry, hostileNames, ip, mac, uuid } from './builders.ts';

const ledgers = suite('ledger');

function ledgerOf(...entries: readonly LedgerEntry[]): Ledger {
  return entries.reduce((ledger, one) => ledger.replace(null, one), Ledger.empty);
}

/** Files in memory, and the index that leads to them. */
class MemorySource implements LedgerSource {
  readonly files = new Map<string, string>();
  /** The machines that were read. */
  readonly read = new Set<string>();
  readonly #records = new Map<string, MachineRecord>();

  constructor(ledger: Ledger = Ledger.empty) {
    this.write(ledger);
  }

  write(ledger: Ledger): void {
    for (const { uuid: id, after } of ledger.changes()) {
      if (after === null) this.files.delete(id);
      else this.files.set(id, formatMachine(id, after));
    }
  }

  machine(id: string): MachineRecord | null {
    this.read.add(id);
    return this.files.has(id) ? this.#record(id) : null;
  }

  holders(key: IndexKey): string[] {
    return [...this.files.keys()].filter(id => keysOf(this.#record(id)).has(key));
  }

  addresses(): string[] {
    return this.#keys('ip/');
  }

  present(): string[] {
    return [...this.files.keys()].filter(id => this.#isPresent(id));
  }

  retired(): string[] {
    return [...this.files.keys()].filter(id => !this.#isPresent(id));
  }

  retirements() {
    return this.#keys('retired/').flatMap((name): [IndexKey, string][] =>
      this.holders(`retired/${name}`).map(id => [`retired/${name}`, id]),
    );
  }

  #record(id: string): MachineRecord {
    const text = this.files.get(id) ?? '';
    const known = this.#records.get(text) ?? parsed(text, id);
    this.#records.set(text, known);
    return known;
  }

  #isPresent(id: string): boolean {
    return this.#record(id).entries.some(stored => stored.entry.retired === null);
  }

  #keys(kind: string): string[] {
    const keys = [...this.files.keys()].flatMap(id => [...keysOf(this.#record(id))]);
    return [...new Set(keys)].flatMap(key => (key.startsWith(kind) ? [key.slice(kind.length)] : [])).sort();
  }
}

function parsed(text: string, id: string): MachineRecord {
  const record = parseMachine(text, id);
  assert(record.ok, JSON.stringify(record));
  return record.value;
}

/** Returns the ledger as the next process reads it. */
function reread(ledger: Ledger): Ledger {
  return Ledger.from(new MemorySource(ledger));
}

/** Returns the entries in an order that depends on their content alone. */
function sorted(entries: readonly LedgerEntry[]): LedgerEntry[] {
  const text = (one: LedgerEntry) => JSON.stringify(Object.entries(one).sort());
  return entries.toSorted((a, b) => (text(a) < text(b) ? -1 : 1));
}

const anyHolder = fc.oneof(
  fc.constantFrom({ kind: 'own-nic' } as const, { kind: 'gateway' } as const),
  anyName.map(name => ({ kind: 'machine', machine: name }) as const),
);
const anyAddress = fc.nat(0xffffffff).map(number => number as Ipv4);

const anyProblem: fc.Arbitrary<ReservationProblem> = fc
  .oneof(
    fc.record({ kind: fc.constant('mac-taken' as const), mac: fc.nat(9).map(mac), holder: anyHolder }),
    fc.record({ kind: fc.constant('address-taken' as const), address: anyAddress, holder: anyHolder }),
    fc.record({
      kind: fc.constantFrom('address-unusable' as const, 'line-unusable' as const),
      address: anyAddress,
    }),
    fc.record({
      kind: fc.constantFrom('mac-ignored' as const, 'line-without-address' as const),
      mac: fc.nat(9).map(mac),
    }),
    fc.record({ kind: fc.constant('hostname-taken' as const), label: fc.constantFrom('web', 'db') }),
    fc.record({
      kind: fc.constant('pool-exhausted' as const),
      held: fc.record({
        reserved: fc.nat(),
        leased: fc.nat(),
        answered: fc.nat(),
        fixed: fc.nat(),
        elsewhere: fc.nat(),
      }),
    }),
    fc.record({ kind: fc.constantFrom('name-taken' as const, 'runs-elsewhere' as const), host: anyAddress }),
    fc.record({ kind: fc.constant('too-many-nics' as const), nics: fc.nat(), limit: fc.nat() }),
    fc.record({
      kind: fc.constant('metadata-invalid' as const),
      attribute: fc.constantFrom('mac' as const, 'ip' as const, 'hostname' as const),
    }),
    fc.record({ kind: fc.constant('legacy' as const), text: anyName }),
  )
  .map(problem => structuredClone(problem));

const anyDate = fc.nat(2 ** 31).map(seconds => new Date(seconds * 1000));

const bootUrl = parseBootUrl('http://10.0.0.1:8080/$%7b.ipxe') || null;
assert(bootUrl !== null);

const anyEntry: fc.Arbitrary<LedgerEntry> = fc.record(
  {
    network: fc.constantFrom('k8s-br0', 'lab'),
    uuid: fc.nat(5).map(uuid),
    name: anyName,
    nic: fc.nat(3),
    macs: fc.array(fc.nat(9).map(mac), { maxLength: 4 }),
    ip: fc.option(anyAddress),
    hostname: fc.constantFrom('web', 'db', 'web-1'),
    aliases: fc.subarray(['db', 'api', '*.apps', '*']),
    refusedAliases: fc.subarray<RefusedAlias>([
      { alias: '\u0000*', reason: 'invalid' },
      { alias: 'db', reason: 'taken', holder: { kind: 'machine', machine: 'a\nb' } },
    ]),
    boot: fc.constantFrom(null, bootUrl),
    group: fc.option(anyName),
    isolated: fc.boolean(),
    firstSeen: anyDate,
    lastSeen: anyDate,
    macOrigin: fc.constantFrom('own' as const, 'given' as const, 'due' as const),
    replacedMac: fc.option(fc.constantFrom(mac(1), mac(9))),
    booted: fc.boolean(),
    retired: fc.option(anyDate),
    problem: fc.option(anyProblem),
    host: fc.option(anyAddress),
    revision: fc.option(fc.nat()),
  },
  { noNullPrototype: true },
);

ledgers('written entries are read again, whatever they hold', () => {
  fc.assert(
    fc.property(fc.array(anyEntry), entries => {
      assert.deepEqual(sorted(reread(ledgerOf(...entries)).entries()), sorted(entries));
      assert.deepEqual(reread(ledgerOf(...entries)).changes(), []);
    }),
  );
});

ledgers('searches return the same entries as a comparison with each entry, written or not', () => {
  fc.assert(
    fc.property(fc.array(anyEntry), fc.array(anyEntry), anyEntry, (written, added, wanted) => {
      const entries = [...written, ...added, wanted];
      const ledger = [...added, wanted].reduce(
        (result, one) => result.replace(null, one),
        reread(ledgerOf(...written)),
      );
      const { network, name, hostname } = wanted;
      const same = (found: readonly LedgerEntry[], isWanted: (one: LedgerEntry) => boolean) =>
        assert.deepEqual(sorted(found), sorted(entries.filter(isWanted)));
      same(ledger.named(network, name), one => one.network === network && one.name === name);
      same(
        ledger.ofMachine(network, wanted.uuid),
        one => one.network === network && one.uuid === wanted.uuid,
      );
      same(
        ledger.withHostname(network, hostname),
        one => one.network === network && (one.hostname === hostname || one.aliases.includes(hostname)),
      );
      for (const own of wanted.macs) same(ledger.withMac(own), one => one.macs.includes(own));
      for (const own of wanted.macs)
        same(ledger.withMacOn(network, own), one => one.network === network && one.macs.includes(own));
      const { ip: address } = wanted;
      if (address !== null)
        same(ledger.withIp(network, address), one => one.network === network && one.ip === address);
      same(ledger.present(), one => one.retired === null);
      same([...ledger.retired()], one => one.retired !== null && one.ip !== null);
      const since = [...ledger.retired()].map(one => Number(one.retired));
      assert.deepEqual(
        since,
        since.toSorted((a, b) => a - b),
      );
    }),
  );
});

ledgers('an address counts as taken exactly while an entry has it, also after many questions', () => {
  const [first, second] = [ip('10.0.0.1'), ip('10.0.0.2')];
  const before = reread(ledgerOf(entry({ ip: first }), entry({ uuid: uuid(2), ip: ip('10.0.0.3') })));
  const ledger = before.replace(entry({ ip: first }), entry({ ip: second }));
  for (let question = 0; question < 100; question++)
    assert.deepEqual(
      [first, second, ip('10.0.0.3')].map(address => ledger.hasIp('k8s-br0', address)),
      [false, true, true],
    );
  assert.equal(ledger.hasIp('lab', second), false, 'on another network');
});

ledgers('a decision on one machine reads no other machine', () => {
  const source = new MemorySource(
    ledgerOf(
      ...Array.from({ length: 100 }, (_, number) =>
        entry({ uuid: uuid(number), name: `vm${number}`, macs: [mac(number)], ip: (number + 1) as Ipv4 }),
      ),
    ),
  );
  const ledger = Ledger.from(source);
  const [own] = ledger.ofMachine('k8s-br0', uuid(7));
  assert(own);
  ledger.withMac(mac(7));
  ledger.hasIp('k8s-br0', 8 as Ipv4);
  ledger.hasIp('k8s-br0', 1000 as Ipv4);
  ledger.named('k8s-br0', 'vm7');
  ledger.replace(own, { ...own, booted: true }).changes();
  assert.deepEqual([...source.read], [uuid(7)]);
});

ledgers('a hostile name is found as a name, and its key can be the name of a file', () => {
  const names = [...hostileNames, mac(1), uuid(1), '192.168.100.7', '../../machines', 'ip/10.0.0.1'];
  const ledger = reread(
    ledgerOf(
      ...names.map((name, at) =>
        entry({
          uuid: uuid(at + 2),
          name,
          problem: { kind: 'legacy', text: name },
          macs: [],
          ip: null,
          hostname: 'vm',
        }),
      ),
    ),
  );
  for (const [at, name] of names.entries()) {
    assert.equal(ledger.named('k8s-br0', name)[0]?.uuid, uuid(at + 2));
    const record = { fields: {}, entries: [{ fields: {}, entry: entry({ name }) }] };
    for (const key of keysOf(record)) assert.match(key, /^[a-z]+\/[\w.:,-]{1,64}$/);
  }
  assert.deepEqual(ledger.withMac(mac(1)), []);
  assert.deepEqual(ledger.withIp('k8s-br0', ip('192.168.100.7')), []);
  assert.deepEqual(ledger.ofMachine('k8s-br0', uuid(1)), []);
  assert.equal(ledger.hasIp('k8s-br0', ip('192.168.100.7')), false);
});

ledgers('an entry is replaced, added, moved to another machine and removed', () => {
  const [a, b, c] = [1, 2, 3].map(number => entry({ uuid: uuid(number), ip: ip(`10.0.0.${number}`) }));
  assert(a && b && c);
  for (const ledger of [ledgerOf(a, b), reread(ledgerOf(a, b))]) {
    assert.deepEqual(sorted(ledger.replace(a, c).entries()), sorted([b, c]));
    assert.deepEqual(ledger.replace(b, null).entries(), [a]);
    assert.deepEqual(ledger.replace(null, c).entries(), [a, b, c]);
    assert.equal(ledger.replace(null, null), ledger);
    assert.equal(ledger.replace(a, { ...a }), ledger, 'entries are compared by value');
    assert.deepEqual(ledger.entries(), [a, b], 'the original ledger does not change');
    assert.throws(() => ledger.replace(c, a), /no such entry/);
  }
  const moved = reread(ledgerOf(a, b)).replace(a, c).changes();
  assert.deepEqual(
    moved.map(({ uuid: id, after }) => [id, after?.entries.length ?? 0]),
    [
      [uuid(1), 0],
      [uuid(3), 1],
    ],
  );
});

ledgers('a change that is taken back is not written', () => {
  const ledger = reread(ledgerOf(entry()));
  const changed = ledger.replace(entry(), entry({ booted: true }));
  assert.equal(changed.changes().length, 1);
  assert.deepEqual(changed.replace(entry({ booted: true }), entry()).changes(), []);
  const added = ledger.replace(null, entry({ uuid: uuid(2) }));
  assert.deepEqual(added.replace(entry({ uuid: uuid(2) }), null).changes(), []);
});

ledgers('times are stored in seconds', () => {
  const ledger = ledgerOf(entry({ firstSeen: new Date(aDate.getTime() + 999) }));
  assert.deepEqual(reread(ledger).entries(), [entry()]);
});

const text = formatMachine(uuid(1), { fields: {}, entries: [{ fields: {}, entry: entry() }] });

ledgers('a file that is damaged or truncated, or about another machine, is refused', () => {
  const damages: [from: string | RegExp, to: string, error: RegExp][] = [
    [/^/, '\ufeff', /^not a JSON object$/],
    [text, '', /^not a JSON object$/],
    [text, '\0\0\0', /^not a JSON object$/],
    [text, '[]', /^not a JSON object$/],
    ['"version": 1', '"version": 2', /^written by a newer virlan/],
    ['"version": 1', '"version": "1"', /^"version" is not/],
    [`"uuid": "${uuid(1)}"`, '"uuid": "../../etc/passwd"', /^uuid: /],
    [`"uuid": "${uuid(1)}"`, `"uuid": "${uuid(2)}"`, /^is about another machine$/],
    ['"entries": [', '"entries": [7,', /^entries/],
    ['"entries": [', '"entries": [{},', /^entry 1 has no valid "network"$/],
    [
      `"uuid": "${uuid(1)}",\n      "name"`,
      `"uuid": "${uuid(2)}",\n      "name"`,
      /^is about another machine$/,
    ],
    ['"nic": 0', '"nic": "0"', /^entry 1 has no valid "nic"$/],
    ['"nic": 0', '"nic": 0.5', /"nic"$/],
    ['192.168.100.7', '192.168.100.777', /"ip"$/],
    ['192.168.100.7', '192.168.100.07', /"ip"$/],
    [mac(1), 'ff:ff:ff:ff:ff:ff', /"macs"$/],
    ['"booted": false', '"booted": null', /"booted"$/],
    ['2026-11-22T10', '2026-13-22T10', /"firstSeen"$/],
    ['2026-11-22T10', '2026-11-22 10', /"firstSeen"$/],
    ['"retired": null', '"retired": "yesterday"', /"retired"$/],
  ];
  for (const [from, to, error] of damages) {
    const damaged = text.replace(from, to);
    assert.notEqual(damaged, text, String(from));
    const record = parseMachine(damaged, uuid(1));
    assert(!record.ok, damaged);
    assert.match(record.error, error);
  }
  for (let length = 0; length < text.length - 1; length++)
    assert.equal(parseMachine(text.slice(0, length), uuid(1)).ok, false, `${length} bytes`);
});

ledgers('fields of a later version are kept in the file and in a rewritten entry', () => {
  const later = text
    .replace('"nic": 0', '"nic": 0, "guard": {"allow": ["10.0.0.7"]}')
    .replace('"entries"', '"cluster": "a", "entries"');
  const source = new MemorySource();
  source.files.set(uuid(1), later);
  const ledger = Ledger.from(source).replace(entry(), entry({ booted: true }));
  source.write(ledger);
  const expected = JSON.parse(later.replace('"booted": false', '"booted": true'));
  assert.deepEqual(JSON.parse(source.files.get(uuid(1)) ?? ''), expected);
  source.write(Ledger.from(source).replace(entry({ booted: true }), entry({ uuid: uuid(3) })));
  assert.deepEqual([...source.files.keys()], [uuid(3)]);
  assert.deepEqual(JSON.parse(source.files.get(uuid(3)) ?? '').entries[0].guard, { allow: ['10.0.0.7'] });
});

ledgers('missing optional fields have their defaults', () => {
  const short = text.replace(/,\s*"retired": null,\s*"problem": null/, '');
  assert.notEqual(short, text);
  const unknown = text.replace('"problem": null', '"problem": {"kind": "of-tomorrow"}');
  for (const one of [short, unknown])
    assert.deepEqual(
      parsed(one, uuid(1)).entries.map(stored => stored.entry),
      [entry()],
    );
});

const firstFormat = readFileSync('test/unit/fixtures/ledger-version-1.jsonl', 'utf8');

ledgers('a ledger of virlan 0.1.0 is read, and its entries are written in the present format', () => {
  assert.equal(readVersion(firstFormat), 1);
  const lines = readLines(firstFormat);
  assert(lines.ok);
  const ledger = reread(Ledger.of(lines.value));
  assert.deepEqual(
    lines.value.map(({ entry: { network, nic, macOrigin, booted, retired, ip: at } }) => [
      network,
      nic,
      macOrigin,
      booted,
      retired !== null,
      at !== null,
    ]),
    [
      ['k8s-br0', 0, 'given', true, false, true],
      ['k8s-br0', 1, 'given', false, false, true],
      ['k8s-br0', 0, 'due', true, false, true],
      ['k8s-br0', 0, 'own', false, true, true],
      ['k8s-br0', 0, 'own', true, false, false],
      ['k8s-br0', 0, 'own', false, false, true],
      ['k8s-br0', 0, 'own', false, false, false],
      ['lab', 0, 'given', false, false, true],
    ],
  );
  assert.deepEqual(lines.value[4]?.entry.problem, {
    kind: 'legacy',
    text: 'MAC 52:54:00:c5:f2:a7 is also that of web: give one of them another',
  });
  assert.deepEqual(sorted(ledger.entries()), sorted(lines.value.map(stored => stored.entry)));
  const written = lines.value.map(stored => JSON.stringify(entryFields(stored)));
  assert.deepEqual(
    written.map(line => JSON.parse(line)),
    firstFormat
      .trimEnd()
      .split('\n')
      .slice(1)
      .map(line => JSON.parse(line)),
  );
});

ledgers('a damaged line of the first format is refused with its number', () => {
  const [first = '', line = ''] = firstFormat.split('\n');
  const cases: [text: string, error: string][] = [
    [`${first}\n${line}`, 'line 2 is cut short'],
    [first, 'line 1 is cut short'],
    [`${first}\n${line}\n\n${line}\n`, 'line 3 is not an entry'],
    [`${first}\n${line}\nrm -rf\n`, 'line 3 is not an entry'],
    [`${first}\n${line}\n\0\0\0\0\n`, 'line 3 is not an entry'],
    [`${first}\n${line.replace('"nic":0', '"nic":"0"')}\n`, 'line 2 has no valid "nic"'],
    [`${first}\nnull\n`, 'line 2 has no valid ""'],
  ];
  for (const [damaged, error] of cases) assert.deepEqual(readLines(damaged), { ok: false, error }, damaged);
});

ledgers('the version of a ledger is read from its first line only', () => {
  assert.equal(readVersion(header), 2);
  assert.equal(readVersion('{"virlan":"ledger","version":7}\n{"another":"form"}\n'), 7);
  for (const line of ['', '\n', '{}', '[]', '{"virlan":"lodger","version":1}', '\ufeff{"virlan":"ledger"}'])
    assert.equal(readVersion(line), null, line);
  for (const version of ['0', '"1"', '1.5', 'null'])
    assert.equal(readVersion(`{"virlan":"ledger","version":${version}}`), null, version);
});

ledgers('a retired entry keeps its address; one that holds none, or is a year old, is dropped', () => {
  const day = 86_400_000;
  const at = (days: number) => new Date(aDate.getTime() + days * day);
  const web = entry({ uuid: uuid(1), problem: { kind: 'hostname-taken', label: 'web' } });
  const none = entry({ uuid: uuid(2), name: 'none', ip: null });
  const old = entry({ uuid: uuid(3), name: 'old', ip: ip('10.0.0.3'), retired: at(1) });
  const recent = entry({ uuid: uuid(4), name: 'recent', ip: ip('10.0.0.4'), retired: at(2) });
  const stays = entry({ uuid: uuid(5), name: 'stays', ip: ip('10.0.0.5') });
  const { ledger, entries } = retire(
    reread(ledgerOf(web, none, old, recent, stays)),
    [uuid(1), uuid(2), uuid(4), uuid(9)],
    at(366.5),
  );
  assert.deepEqual(sorted(entries), sorted([web, none]));
  const retired = { ...web, retired: at(366.5), problem: null };
  assert.deepEqual(sorted(ledger.entries()), sorted([retired, recent, stays]));
});

ledgers.run();
