// ledger.test.ts: tests the ledger's files: interrupted writes, the first format, and the cost of a start.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import { type Ipv4, ipv4After, parseIpv4 } from '../../src/address/ip.ts';
import { kvmMac } from '../../src/address/mac.ts';
import { type IndexKey, keysOf, Ledger } from '../../src/identity/ledger.ts';
import { Files, isSettled, places, readLedger } from '../../src/identity/ledger-files.ts';
import { entryFields, type LedgerEntry } from '../../src/identity/ledger-format.ts';
import { retire } from '../../src/identity/retire.ts';
import { changeLedger } from '../../src/identity/store.ts';
import { digest } from '../../src/names/digest.ts';
import { prepare } from './hook-calls.ts';
import { configure, installVirlan, virlan } from './host.ts';

const ledgers = suite('ledger files');
const first = parseIpv4('10.64.0.2') as Ipv4;
const header = '/var/lib/virlan/ledger.jsonl';
const known = {
  name: 'known',
  uuid: '00000000-0000-4000-8000-0000000000aa',
  nics: [{ type: 'bridge' as const, source: 'k8s-br0', mac: '52:54:00:00:00:aa' }],
};

function uuid(number: number): string {
  return `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
}

function entry(number: number, changes: Partial<LedgerEntry> = {}): LedgerEntry {
  const now = new Date('2026-11-22T10:00:00Z');
  return {
    network: 'k8s-br0',
    uuid: uuid(number),
    name: `vm ${number}, "$(x)" /..`,
    nic: 0,
    macs: [kvmMac(digest(String(number)))],
    macOrigin: 'own',
    replacedMac: null,
    ip: ipv4After(first, number),
    hostname: `vm-${number}`,
    aliases: [],
    boot: null,
    group: null,
    isolated: false,
    refusedAliases: [],
    firstSeen: now,
    lastSeen: now,
    booted: true,
    retired: null,
    problem: null,
    host: null,
    revision: null,
    ...changes,
  };
}

function store(...entries: readonly LedgerEntry[]): Promise<void> {
  const add = (ledger: Ledger) => entries.reduce((rest, one) => rest.replace(null, one), ledger);
  return changeLedger(ledger => ({ ledger: add(ledger), result: undefined }));
}

function forget(): void {
  rmSync('/var/lib/virlan', { recursive: true, force: true });
}

/** Checks that the index leads from each key of each machine to the machine, and from nothing else. */
function assertIndexed(): void {
  const files = new Files();
  const machines = [...files.present(), ...files.retired()];
  const expected = machines.flatMap(id => [...keysOf(files.machine(id))].map(key => `${key} ${id}`));
  const keys = readdirSync(places.index).flatMap(kind =>
    readdirSync(`${places.index}/${kind}`).map(name => `${kind}/${name.replace(/~\d+$/, '')}` as IndexKey),
  );
  const found = keys.flatMap(key => files.holders(key).map(id => `${key} ${id}`));
  assert.deepEqual([...new Set(found)].sort(), expected.sort());
  assert.equal(keys.length, expected.length, 'no key leads twice to a machine');
}

ledgers('machines that share a key, move, retire and go leave an index without gaps', async () => {
  forget();
  const mac = kvmMac(digest('shared'));
  const shared = [1, 2, 3, 4].map(number => entry(number, { macs: [mac], name: 'clone' }));
  await store(...shared);
  assertIndexed();
  assert.equal(statSync(`${places.machines}/${uuid(1)}.json`).mode & 0o777, 0o600);
  await changeLedger(ledger => ({ ledger: ledger.replace(shared[1] ?? null, null), result: null }));
  assertIndexed();
  assert.deepEqual(
    readLedger()
      .withMac(mac)
      .map(one => one.uuid)
      .sort(),
    [1, 3, 4].map(uuid),
  );
  const now = new Date('2026-11-23T10:00:00Z');
  await changeLedger(ledger => ({ ledger: retire(ledger, [uuid(1), uuid(3)], now).ledger, result: null }));
  assertIndexed();
  assert.deepEqual(readdirSync(places.machines), [`${uuid(4)}.json`]);
  assert.deepEqual(
    [...readLedger().retired()].map(one => one.uuid),
    [1, 3].map(uuid),
  );
  const [back] = readLedger().ofUuid(uuid(3));
  assert(back !== undefined);
  await changeLedger(ledger => ({ ledger: ledger.replace(back, { ...back, retired: null }), result: null }));
  assertIndexed();
  assert.deepEqual(readdirSync(places.retired), [`${uuid(1)}.json`]);
});

ledgers('a writer killed at any point leaves whole files, and the next writer a complete index', async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\n');
  forget();
  await store(...Array.from({ length: 20 }, (_, number) => entry(number)));
  let interrupted = 0;
  for (let run = 0; run < 25; run++) {
    const program = spawn('/usr/sbin/virlan', ['forget', entry(run % 20).name], { stdio: 'ignore' });
    const closed = once(program, 'exit');
    // Kills it at the first sign of the write, or at once after it.
    while (program.exitCode === null && !existsSync(places.unfinished))
      await new Promise(resolve => setImmediate(resolve));
    program.kill('SIGKILL');
    await closed;
    if (existsSync(places.unfinished)) interrupted++;
    assert(readLedger().entries().length >= 19, 'every file that is left can be read');
    await store(entry(100 + run));
    assert(isSettled());
    assertIndexed();
    await changeLedger(ledger => {
      const missing = ledger.ofUuid(uuid(run % 20)).length === 0;
      const restored = missing ? ledger.replace(null, entry(run % 20)) : ledger;
      return { ledger: restored.replace(entry(100 + run), null), result: null };
    });
  }
  console.log(`interrupted ${interrupted} of 25 times`);
  // Leaves what an interrupted write leaves: whether a kill hits a write depends on the host's load.
  writeFileSync(places.unfinished, '');
  rmSync(`${places.index}/ip`, { recursive: true });
  await store(entry(200));
  assertIndexed();
});

ledgers('a ledger of virlan 0.1.0 is converted at the first start, and kept aside', async () => {
  forget();
  mkdirSync('/var/lib/virlan', { mode: 0o700 });
  const lines = [entry(1), entry(2, { retired: new Date(0) }), entry(3, { retired: new Date(0), ip: null })];
  const text = [
    '{"virlan":"ledger","version":1}',
    ...lines.map(one => JSON.stringify({ ...entryFields({ entry: one, fields: {} }), later: one.uuid })),
    '',
  ].join('\n');
  writeFileSync(header, text);
  assert.deepEqual(readLedger().entries(), lines, 'it is read before it is converted');
  // The files that a killed conversion left are not the truth.
  mkdirSync(places.machines, { recursive: true });
  writeFileSync(`${places.machines}/${uuid(9)}.json`, 'half');
  assert.equal((await virlan('up')).exitCode, 0);
  assert.equal((await prepare(known)).exitCode, 0);
  assert.equal(readFileSync('/var/lib/virlan/ledger-version-1.jsonl', 'utf8'), text);
  // An earlier virlan reads the version of this line, and refuses to begin a new ledger.
  assert.equal(readFileSync(header, 'utf8'), '{"virlan":"ledger","version":2}\n');
  assertIndexed();
  assert.deepEqual(
    readLedger()
      .entries()
      .map(one => one.uuid),
    [uuid(1), known.uuid, uuid(2)],
  );
  const machine = JSON.parse(readFileSync(`${places.machines}/${uuid(1)}.json`, 'utf8'));
  assert.equal(machine.entries[0].later, uuid(1), 'unknown fields are kept');
});

ledgers('a ledger of a later version is refused and not changed', async () => {
  const later = '{"virlan":"ledger","version":3}\n';
  writeFileSync(header, later);
  const { exitCode, stderr } = await virlan('forget', 'known');
  assert.deepEqual([exitCode, readFileSync(header, 'utf8')], [1, later]);
  assert.match(stderr, /ledger\.jsonl: the ledger has version 3, .* up to 2: install a newer virlan$/);
  assert.equal((await prepare(known)).exitCode, 0);
});

ledgers('a start reads and writes as much with 5,000 retired entries as with none', async () => {
  // Linux adds what a child read and wrote to its parent's counters when the child ends. A duration, also one of
  // the processor, depends on what else the host does.
  const childrenBytes = () => {
    const counters = readFileSync('/proc/self/io', 'utf8');
    const [, read, written] = /rchar: (\d+)\nwchar: (\d+)/.exec(counters) ?? [];
    return Number(read) + Number(written);
  };
  let machines = 0;
  const bytesOfStarts = async () => {
    const before = childrenBytes();
    for (let run = 0; run < 6; run++) {
      const name = `new${machines++}`;
      const mac = kvmMac(digest(name));
      await prepare({ name, nics: [{ type: 'bridge', source: 'k8s-br0', mac }] });
      await prepare(known);
    }
    return childrenBytes() - before;
  };
  forget();
  await configure('[network.k8s-br0]\nstp = no\nsubnet = 10.64.0.0/16\n');
  assert.equal((await virlan('up')).exitCode, 0);
  await prepare(known);
  const few = await bytesOfStarts();
  const retired = new Date('2026-11-23T10:00:00Z');
  const entries = Array.from({ length: 5000 }, (_, number) => ({
    fields: {},
    entry: entry(1000 + number, { retired }),
  }));
  await changeLedger(() => ({ ledger: Ledger.of(entries), result: null }));
  const many = await bytesOfStarts();
  console.log(`12 starts: ${few} bytes, with 5,000 retired entries ${many} bytes`);
  // The entries are 1.5 MB, which each start would read and write if they were in one file.
  assert(many < few * 1.05, `${many} bytes instead of ${few}`);
});

ledgers.run();
