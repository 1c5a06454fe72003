import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import type { Ipv4 } from '../../src/address/ip.ts';
import { DamagedLedger, Ledger, type LedgerEntry } from '../../src/identity/ledger.ts';
import { aDate, anyName, entry, hostileNames, ip, mac, uuid } from './builders.ts';

const ledgers = suite('ledger');

function ledgerOf(...entries: readonly LedgerEntry[]): Ledger {
  return entries.reduce((ledger, one) => ledger.replace(null, one), Ledger.empty);
}

/** As a later process reads it from disk. */
function reread(ledger: Ledger): Ledger {
  const result = Ledger.parse(ledger.bytes);
  assert(result.ok);
  return result.value;
}

const anyDate = fc.nat(2 ** 31).map(seconds => new Date(seconds * 1000));

const anyEntry: fc.Arbitrary<LedgerEntry> = fc.record(
  {
    network: fc.constantFrom('k8s-br0', 'lab'),
    uuid: fc.nat(5).map(uuid),
    name: anyName,
    nic: fc.nat(3),
    macs: fc.array(fc.nat(9).map(mac), { maxLength: 4 }),
    ip: fc.option(fc.nat(0xffffffff).map(number => number as Ipv4)),
    hostname: fc.constantFrom('web', 'db', 'web-1'),
    firstSeen: anyDate,
    lastSeen: anyDate,
    mac: fc.constantFrom('own' as const, 'given' as const, 'due' as const),
    booted: fc.boolean(),
    retired: fc.option(anyDate),
    problem: fc.option(anyName),
  },
  { noNullPrototype: true },
);

ledgers('what is written is read again, in plain ASCII, a line for each entry', () => {
  fc.assert(
    fc.property(fc.array(anyEntry), entries => {
      const ledger = ledgerOf(...entries);
      assert.deepEqual(reread(ledger).entries(), entries);
      assert.match(ledger.bytes.toString(), /^[\x20-\x7e\n]*$/);
      assert.equal(ledger.bytes.toString().split('\n').length, entries.length + 2);
    }),
  );
});

ledgers('searches find just what a look at every entry finds', () => {
  fc.assert(
    fc.property(fc.array(anyEntry), anyEntry, (others, wanted) => {
      const entries = [...others, wanted];
      const ledger = ledgerOf(...entries);
      const { network, name, hostname } = wanted;
      const same = (isMeant: (one: LedgerEntry) => boolean) => entries.filter(isMeant);
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
      const isGiven = ledger.addressTest();
      // More than are searched for one by one, and some twice.
      for (const one of [...entries, ...entries, ...entries])
        assert.equal(one.ip === null || isGiven(one.ip), true);
      assert.equal(isGiven(ip('172.31.255.1')), false);
    }),
  );
});

ledgers('a name that looks like a field of another entry is found as a name only', () => {
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
      entry({ uuid: uuid(at + 2), name, problem: name, macs: [], ip: null, hostname: 'vm' }),
    ),
  );
  for (const [at, name] of names.entries())
    assert.equal(ledger.named('k8s-br0', name)[0]?.uuid, uuid(at + 2));
  assert.deepEqual(ledger.withMac(mac(1)), []);
  assert.deepEqual(ledger.withIp(ip('192.168.100.7')), []);
  assert.deepEqual(ledger.ofMachine('k8s-br0', uuid(1)), []);
  assert.equal(ledger.addressTest()(ip('192.168.100.7')), false);
});

ledgers('an entry is put in place of another, added and removed', () => {
  const [a, b, c] = [1, 2, 3].map(number => entry({ uuid: uuid(number), ip: ip(`10.0.0.${number}`) }));
  assert(a && b && c);
  const ledger = ledgerOf(a, b);
  assert.deepEqual(ledger.replace(a, c).entries(), [c, b]);
  assert.deepEqual(ledger.replace(b, null).entries(), [a]);
  assert.deepEqual(ledger.replace(null, c).entries(), [a, b, c]);
  assert.deepEqual(ledger.replace(null, null).bytes.toString(), ledger.bytes.toString());
  assert.deepEqual(ledger.entries(), [a, b], 'the ledger itself never changes');
  assert.throws(() => ledger.replace(c, a), /no such entry/);
});

ledgers('times are kept to the second', () => {
  const ledger = ledgerOf(entry({ firstSeen: new Date(aDate.getTime() + 999) }));
  assert.deepEqual(reread(ledger).entries(), [entry()]);
});

const [header = '', line = ''] = ledgerOf(entry()).bytes.toString().split('\n');

ledgers('an empty file is an empty ledger', () => {
  const result = Ledger.parse(Buffer.from(''));
  assert(result.ok && result.value.bytes.toString() === `${header}\n`);
});

ledgers('a file that is no ledger, or is cut short, is refused with the line that is wrong', () => {
  const cases: [text: string, error: RegExp][] = [
    ['\n', /^line 1 is not/],
    [`${line}\n`, /^line 1 is not/],
    [`${header.replace('1', '2')}\n`, /^line 1 is not/],
    [`\ufeff${header}\n`, /^line 1 is not/],
    [header, /^line 1 is cut short/],
    [`${header}\n${line}`, /^line 2 is cut short/],
    [`${header}\n${line}\n\n${line}\n`, /^line 3 is no entry/],
    [`${header}\n${line}\nrm -rf\n`, /^line 3 is no entry/],
    [`${header}\n${line}\r\n`, /^line 2 is no entry/],
    [`${header}\n${line}\n\0\0\0\0\n`, /^line 3 is no entry/],
  ];
  for (const [text, error] of cases) {
    const result = Ledger.parse(Buffer.from(text));
    assert(!result.ok, text);
    assert.match(result.error, error);
  }
  const whole = `${header}\n${line}\n`;
  for (let length = 1; length < whole.length; length++) {
    const result = Ledger.parse(Buffer.from(whole.slice(0, length)));
    // Cut behind the header's line break, nothing says that there was more.
    assert.equal(result.ok, length === header.length + 1, `cut after ${length} bytes`);
  }
});

ledgers('damage within a line is never taken for an entry', () => {
  const damages: [from: string | RegExp, to: string][] = [
    ['"nic":0', '"nic":"0"'],
    ['"nic":0', '"nic":0.5'],
    ['"nic":0', '"nic":-0'],
    ['"nic":0,', ''],
    ['192.168.100.7', '192.168.100.777'],
    ['192.168.100.7', '192.168.100.07'],
    [mac(1), 'ff:ff:ff:ff:ff:ff'],
    ['"macs":["', '"macs":["x","'],
    ['"booted":false', '"booted":null'],
    ['2026-11-22T10', '2026-13-22T10'],
    ['2026-11-22T10', '2026-11-22 10'],
    ['"problem":null', '"problem":null,"more":1'],
    ['"name":"web"', '"name":"w\\u0065b"'],
    ['"network":', '"network": '],
    [/}$/, ',}'],
    [/"hostname".*$/, '}'],
  ];
  for (const [from, to] of damages) {
    const damaged = line.replace(from, to);
    assert.notEqual(damaged, line);
    const result = Ledger.parse(Buffer.from(`${header}\n${line}\n${damaged}\n`));
    assert(result.ok, damaged);
    assert.throws(() => result.value.entries(), /^DamagedLedger: line 3 /, damaged);
    assert.throws(() => result.value.ofMachine('k8s-br0', uuid(1)), DamagedLedger, damaged);
  }
});

ledgers('one byte changed anywhere gives another entry in full or none', () => {
  fc.assert(
    fc.property(fc.nat(line.length - 1), fc.integer({ min: 0x20, max: 0x7e }), (at, byte) => {
      const changed = `${line.slice(0, at)}${String.fromCharCode(byte)}${line.slice(at + 1)}`;
      const result = Ledger.parse(Buffer.from(`${header}\n${changed}\n`));
      if (!result.ok) return;
      try {
        const found = result.value.entries();
        assert.equal(ledgerOf(...found).bytes.toString(), `${header}\n${changed}\n`);
      } catch (error) {
        assert(error instanceof DamagedLedger, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

ledgers('a damaged line that nobody asks for is carried along to the letter', () => {
  const damaged = '{"name":"gone \\ud83d \\x, "ip":"10.9.9.9"}';
  const result = Ledger.parse(Buffer.from(`${header}\n${line}\n${damaged}\n`));
  assert(result.ok);
  const other = entry({ uuid: uuid(2), name: 'db', macs: [mac(2)], ip: ip('192.168.100.8') });
  const changed = result.value.replace(entry(), entry({ booted: true })).replace(null, other);
  assert.deepEqual(changed.ofMachine('k8s-br0', uuid(1)), [entry({ booted: true })]);
  assert(changed.bytes.toString().includes(`\n${damaged}\n`));
  assert(changed.addressTest()(ip('10.9.9.9')), 'nor is its address given to another');
});

ledgers.run();
