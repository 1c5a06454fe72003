// ledger.test.ts: tests the format of the ledger, its searches, and its behaviour on damaged lines.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { suite } from 'uvu';
import type { Ipv4 } from '../../src/address/ip.ts';
import { VirlanError } from '../../src/errors.ts';
import { Ledger } from '../../src/identity/ledger.ts';
import { type LedgerEntry, migrateLine, readLine } from '../../src/identity/ledger-format.ts';
import type { ReservationProblem } from '../../src/identity/problem.ts';
import { aDate, anyName, entry, hostileNames, ip, mac, uuid } from './builders.ts';

const ledgers = suite('ledger');

function ledgerOf(...entries: readonly LedgerEntry[]): Ledger {
  return entries.reduce((ledger, one) => ledger.replace(null, one), Ledger.empty);
}

/** Returns the ledger as the next process reads it. */
function reread(ledger: Ledger): Ledger {
  return parse(ledger.bytes.toString());
}

function parse(text: string): Ledger {
  return Ledger.parse(Buffer.from(text));
}

/** Returns a predicate: is an error of this code, with a message that matches. */
function isError(code: VirlanError['code'], message: RegExp) {
  return (error: unknown) =>
    error instanceof VirlanError && error.code === code && message.test(error.message);
}

const anyHolder = fc.oneof(
  fc.constant({ kind: 'own-nic' } as const),
  anyName.map(name => ({ kind: 'machine', machine: name }) as const),
);
const anyAddress = fc.nat(0xffffffff).map(number => number as Ipv4);

const anyProblem: fc.Arbitrary<ReservationProblem> = fc
  .oneof(
    fc.record({ kind: fc.constant('mac-taken' as const), mac: fc.nat(9).map(mac), holder: anyHolder }),
    fc.record({ kind: fc.constant('address-taken' as const), address: anyAddress, holder: anyHolder }),
    fc.record({ kind: fc.constant('address-unusable' as const), address: anyAddress }),
    fc.record({ kind: fc.constant('hostname-taken' as const), label: fc.constantFrom('web', 'db') }),
    fc.record({
      kind: fc.constant('pool-exhausted' as const),
      held: fc.record({ reserved: fc.nat(), leased: fc.nat(), answered: fc.nat(), fixed: fc.nat() }),
    }),
    fc.record({ kind: fc.constant('too-many-nics' as const), nics: fc.nat(), limit: fc.nat() }),
    fc.record({
      kind: fc.constant('metadata-invalid' as const),
      attribute: fc.constantFrom('mac' as const, 'ip' as const, 'hostname' as const),
    }),
    fc.record({ kind: fc.constant('legacy' as const), text: anyName }),
  )
  .map(problem => structuredClone(problem));

const anyDate = fc.nat(2 ** 31).map(seconds => new Date(seconds * 1000));

const anyEntry: fc.Arbitrary<LedgerEntry> = fc.record(
  {
    network: fc.constantFrom('k8s-br0', 'lab'),
    uuid: fc.nat(5).map(uuid),
    name: anyName,
    nic: fc.nat(3),
    macs: fc.array(fc.nat(9).map(mac), { maxLength: 4 }),
    ip: fc.option(anyAddress),
    hostname: fc.constantFrom('web', 'db', 'web-1'),
    firstSeen: anyDate,
    lastSeen: anyDate,
    macOrigin: fc.constantFrom('own' as const, 'given' as const, 'due' as const),
    replacedMac: fc.option(fc.constantFrom(mac(1), mac(9))),
    booted: fc.boolean(),
    retired: fc.option(anyDate),
    problem: fc.option(anyProblem),
  },
  { noNullPrototype: true },
);

ledgers('written entries are read again; the file is plain ASCII with one line per entry', () => {
  fc.assert(
    fc.property(fc.array(anyEntry), entries => {
      const ledger = ledgerOf(...entries);
      assert.deepEqual(reread(ledger).entries(), entries);
      assert.match(ledger.bytes.toString(), /^[\x20-\x7e\n]*$/);
      assert.equal(ledger.bytes.toString().split('\n').length, entries.length + 2);
    }),
  );
});

ledgers('searches return the same entries as a comparison with each entry', () => {
  fc.assert(
    fc.property(fc.array(anyEntry), anyEntry, (others, wanted) => {
      const entries = [...others, wanted];
      const ledger = ledgerOf(...entries);
      const { network, name, hostname } = wanted;
      const same = (isWanted: (one: LedgerEntry) => boolean) => entries.filter(isWanted);
      assert.deepEqual(
        ledger.named(network, name),
        same(one => one.network === network && one.name === name),
      );
      assert.deepEqual(
        ledger.ofMachine(network, wanted.uuid),
        same(one => one.network === network && one.uuid === wanted.uuid),
      );
      assert.deepEqual(
        ledger.withHostname(network, hostname),
        same(one => one.network === network && one.hostname === hostname),
      );
      for (const own of wanted.macs)
        assert.deepEqual(
          ledger.withMac(own),
          same(one => one.macs.includes(own)),
        );
      if (wanted.ip !== null)
        assert.deepEqual(
          ledger.withIp(wanted.ip),
          same(one => one.ip === wanted.ip),
        );
      for (const one of entries) assert.equal(one.ip === null || ledger.hasIp(one.ip), true);
      const free = ip('172.31.255.1');
      assert.equal(
        ledger.hasIp(free),
        entries.some(one => one.ip === free),
      );
    }),
  );
});

ledgers('a name that contains the text of a field is found only as a name', () => {
  const names = [
    ...hostileNames,
    mac(1),
    uuid(1),
    '192.168.100.7',
    `","macs":["${mac(1)}"],"x":"`,
    `"uuid":"${uuid(1)}"`,
  ];
  const ledger = ledgerOf(
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
  );
  for (const [at, name] of names.entries())
    assert.equal(ledger.named('k8s-br0', name)[0]?.uuid, uuid(at + 2));
  assert.deepEqual(ledger.withMac(mac(1)), []);
  assert.deepEqual(ledger.withIp(ip('192.168.100.7')), []);
  assert.deepEqual(ledger.ofMachine('k8s-br0', uuid(1)), []);
  assert.equal(ledger.hasIp(ip('192.168.100.7')), false);
});

ledgers('an entry is replaced, added and removed', () => {
  const [a, b, c] = [1, 2, 3].map(number => entry({ uuid: uuid(number), ip: ip(`10.0.0.${number}`) }));
  assert(a && b && c);
  const ledger = ledgerOf(a, b);
  assert.deepEqual(ledger.replace(a, c).entries(), [c, b]);
  assert.deepEqual(ledger.replace(b, null).entries(), [a]);
  assert.deepEqual(ledger.replace(null, c).entries(), [a, b, c]);
  assert.deepEqual(ledger.replace(null, null).bytes.toString(), ledger.bytes.toString());
  assert.deepEqual(ledger.entries(), [a, b], 'the original ledger does not change');
  assert.throws(() => ledger.replace(c, a), /no such entry/);
});

ledgers('times are stored in seconds', () => {
  const ledger = ledgerOf(entry({ firstSeen: new Date(aDate.getTime() + 999) }));
  assert.deepEqual(reread(ledger).entries(), [entry()]);
});

const [header = '', line = ''] = ledgerOf(entry()).bytes.toString().split('\n');

ledgers('an empty file is an empty ledger', () => {
  assert.equal(parse('').bytes.toString(), `${header}\n`);
});

ledgers('a file that is not a ledger, or is truncated, is refused with the line number', () => {
  const cases: [text: string, error: RegExp][] = [
    ['\n', /^line 1 is not/],
    [`${line}\n`, /^line 1 is not/],
    [`${header.replace('ledger', 'lodger')}\n`, /^line 1 is not/],
    [`${header.replace('1', '0')}\n`, /^line 1 is not/],
    [`${header.replace('1', '"1"')}\n`, /^line 1 is not/],
    [`\ufeff${header}\n`, /^line 1 is not/],
    ['\0\u00ff\n\x07', /^line 1 is not/],
    [header, /^line 1 is cut short/],
    [`${header}\n${line}`, /^line 2 is cut short/],
    [`${header}\n${line}\n\n${line}\n`, /^line 3 is not an entry/],
    [`${header}\n${line}\nrm -rf\n`, /^line 3 is not an entry/],
    [`${header}\n${line}\r\n`, /^line 2 is not an entry/],
    [`${header}\n${line}\n\0\0\0\0\n`, /^line 3 is not an entry/],
  ];
  for (const [text, error] of cases) assert.throws(() => parse(text), isError('damaged-file', error), text);
  const whole = `${header}\n${line}\n`;
  for (let length = 1; length < whole.length; length++) {
    // The header alone is a valid file.
    if (length === header.length + 1) assert.deepEqual(parse(whole.slice(0, length)).entries(), []);
    else
      assert.throws(() => parse(whole.slice(0, length)), isError('damaged-file', /^line/), `${length} bytes`);
  }
});

ledgers('a ledger of a newer version is refused with a message that says so', () => {
  const newer = isError('newer-format', /^the ledger has version 2, .* up to 1: install a newer virlan$/);
  assert.throws(() => parse(`${header.replace('1', '2')}\n`), newer);
  assert.throws(() => parse(`${header.replace('1', '2')}\n{"another":"form"}\n`), newer);
});

ledgers('a damaged line is never read as an entry', () => {
  const damages: [from: string | RegExp, to: string][] = [
    ['"nic":0', '"nic":"0"'],
    ['"nic":0', '"nic":0.5'],
    ['"nic":0', '"nic":-0'],
    ['"nic":0,', ''],
    ['192.168.100.7', '192.168.100.777'],
    ['192.168.100.7', '192.168.100.07'],
    [mac(1), 'ff:ff:ff:ff:ff:ff'],
    [mac(10), mac(10).toUpperCase()],
    ['"macs":["', '"macs":["x","'],
    ['"booted":false', '"booted":null'],
    ['2026-11-22T10', '2026-13-22T10'],
    ['2026-11-22T10', '2026-11-22 10'],
    ['"retired":null', '"retired":"yesterday"'],
    ['"name":"web"', '"name":"w\\u0065b"'],
    ['"name":"web"', '"name":"web","name":"web"'],
    ['"network":', '"network": '],
    [/}$/, ',}'],
    [/"hostname".*$/, '}'],
  ];
  const whole = line.replace(`"${mac(1)}"`, `"${mac(1)}","${mac(10)}"`);
  for (const [from, to] of damages) {
    const damaged = whole.replace(from, to);
    assert.notEqual(damaged, whole);
    const ledger = parse(`${header}\n${line}\n${damaged}\n`);
    assert.throws(() => ledger.entries(), isError('damaged-file', /^line 3 /), damaged);
    assert.throws(() => ledger.ofMachine('k8s-br0', uuid(1)), isError('damaged-file', /^line 3 /), damaged);
  }
});

ledgers('a line with one changed byte is an error, or an entry that preserves all fields of the line', () => {
  fc.assert(
    fc.property(fc.nat(line.length - 1), fc.integer({ min: 0x20, max: 0x7e }), (at, byte) => {
      const changed = `${line.slice(0, at)}${String.fromCharCode(byte)}${line.slice(at + 1)}`;
      try {
        const ledger = parse(`${header}\n${changed}\n`);
        const [found] = ledger.entries();
        assert(found);
        const changedLedger = ledger.replace(found, { ...found, booted: !found.booted });
        const [rewritten = ''] = changedLedger
          .replace({ ...found, booted: !found.booted }, found)
          .bytes.toString()
          .split('\n')
          .slice(1);
        const fields = JSON.parse(changed);
        assert.deepEqual({ ...JSON.parse(rewritten), ...fields }, JSON.parse(rewritten));
      } catch (error) {
        assert(error instanceof VirlanError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

ledgers('a damaged line is kept byte for byte while it is not read', () => {
  const damaged = '{"name":"gone \\ud83d \\x, "ip":"10.9.9.9"}';
  const ledger = parse(`${header}\n${line}\n${damaged}\n`);
  const other = entry({ uuid: uuid(2), name: 'db', macs: [mac(2)], ip: ip('192.168.100.8') });
  const changed = ledger.replace(entry(), entry({ booted: true })).replace(null, other);
  assert.deepEqual(changed.ofMachine('k8s-br0', uuid(1)), [entry({ booted: true })]);
  assert(changed.bytes.toString().includes(`\n${damaged}\n`));
  assert(changed.hasIp(ip('10.9.9.9')), 'its address counts as taken');
});

ledgers('fields of a later version are kept in the header and in a rewritten entry', () => {
  const later = header.replace('}', ',"cluster":"a"}');
  const ownLine = line
    .replace('"nic":0', '"nic":0,"guard":{"allow":["10.0.0.7"]}')
    .replace(/}$/, ',"ipv6":true}');
  const other = line.replaceAll(uuid(1), uuid(2)).replace(/}$/, ',"ipv6":false}');
  const ledger = parse(`${later}\n${ownLine}\n${other}\n`);
  assert.deepEqual(ledger.ofMachine('k8s-br0', uuid(1)), [entry()]);
  const changed = ledger.replace(entry(), entry({ booted: true, uuid: uuid(3) }));
  const written = ownLine.replace('"booted":false', '"booted":true').replace(uuid(1), uuid(3));
  assert.equal(changed.bytes.toString(), `${later}\n${written}\n${other}\n`);
});

ledgers('missing optional fields have their defaults', () => {
  const short = line.replace(',"retired":null,"problem":null', '');
  assert.deepEqual(parse(`${header}\n${short}\n`).entries(), [entry()]);
  const unknown = line.replace('"problem":null', '"problem":{"kind":"of-tomorrow"}');
  assert.deepEqual(
    parse(`${header}\n${unknown}\n`).entries(),
    [entry()],
    'an unknown problem is read as no problem',
  );
});

ledgers('lines of an older version are migrated step by step', () => {
  const steps = ['second', 'third'].map(key => (fields: object) => ({ ...fields, [key]: true }));
  assert.equal(migrateLine('{"a":1}', 1, steps), '{"a":1,"second":true,"third":true}');
  assert.equal(migrateLine('{"a":1}', 2, steps), '{"a":1,"third":true}');
  assert.equal(migrateLine('{"a":1}', 3, steps), '{"a":1}');
  assert.equal(migrateLine('{"a":', 1, steps), '{"a":', 'a damaged line is not changed');
});

ledgers('a ledger of virlan 0.1.0 is read, and only the changed entry is rewritten', () => {
  const text = readFileSync('test/unit/fixtures/ledger-version-1.jsonl', 'utf8');
  const ledger = parse(text);
  const entries = ledger.entries();
  assert.deepEqual(
    entries.map(({ network, nic, macOrigin, booted, retired, ip: at }) => [
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
  assert.deepEqual(entries[4]?.problem, {
    kind: 'legacy',
    text: 'MAC 52:54:00:c5:f2:a7 is also that of web: give one of them another',
  });
  for (const [index, before] of entries.entries()) {
    const lines = text.split('\n');
    const changed = ledger.replace(before, { ...before, booted: !before.booted });
    const expected = lines.with(
      index + 1,
      (lines[index + 1] ?? '').replace(`"booted":${before.booted}`, `"booted":${!before.booted}`),
    );
    assert.equal(changed.bytes.toString(), expected.join('\n'));
    assert.equal(ledger.replace(before, { ...before }), ledger, 'entries are compared by value');
  }
  assert.equal(ledger.bytes.toString(), text);
});

ledgers('a line that is not an entry is read as damaged', () => {
  for (const text of ['', 'null', '[]', '7', '{}', '"', '{"network":7}']) {
    assert.equal(readLine(text).kind, 'damaged', text);
  }
});

ledgers.run();
