// reserve.test.ts: tests which address, host name and MACs a machine gets, through all changes of a host.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { formatIp, type Ipv4, type Ipv4Range, ipv4After } from '../../src/address/ip.ts';
import type { Mac } from '../../src/address/mac.ts';
import { parseBootUrl } from '../../src/config/boot.ts';
import type { NetworkConfig } from '../../src/config/config.ts';
import {
  type Hostsfile,
  handLines,
  parseHostsfile,
  reservationLine,
  withReservations,
} from '../../src/dnsmasq/hostsfile.ts';
import type { Lease } from '../../src/dnsmasq/leases.ts';
import { formatNames, parseNames } from '../../src/dnsmasq/names.ts';
import { decide, probeAddresses, wantedNames, wantedReservations } from '../../src/identity/decision.ts';
import { Ledger } from '../../src/identity/ledger.ts';
import type { LedgerEntry } from '../../src/identity/ledger-format.ts';
import {
  type Machine,
  machineNamespace,
  machineOn,
  maxNics,
  noWishes,
  type Wishes,
} from '../../src/identity/machine.ts';
import { predictAddress } from '../../src/identity/predict.ts';
import { problemText } from '../../src/identity/problem-text.ts';
import { type Reserved, reserve } from '../../src/identity/reserve.ts';
import { retire } from '../../src/identity/retire.ts';
import { trailJson, trailText } from '../../src/report/trail-text.ts';
import { excerpt } from '../../src/text.ts';
import { aDate, asMade, ip, mac, network, uuid } from './builders.ts';

const reservations = suite('reserve');

const hourMs = 3_600_000;

/** Simulates a host for reservations: its machines, its files, and the time. */
class Host {
  ledger = Ledger.empty;
  hostsfile: Hostsfile;
  names = '';
  leases: Lease[] = [];
  /** The addresses that somebody on the bridge answers for. */
  answered = new Set<Ipv4>();
  ownBlocks: Ipv4Range[] = [];
  hostMacs: Mac[] = [];
  now = new Date(aDate.getTime() + 123);
  /** UUID → each machine that libvirt knows. */
  readonly machines = new Map<string, Machine>();
  /** UUIDs of the machines that run. */
  readonly running = new Set<string>();
  readonly network: NetworkConfig;

  constructor(config: readonly string[] = [], byHand: readonly string[] = []) {
    this.network = network(...config);
    const parsed = parseHostsfile(byHand.map(line => `${line}\n`).join(''));
    assert(parsed.ok);
    this.hostsfile = parsed.value;
  }

  get byHand() {
    return handLines(this.hostsfile, this.network);
  }

  /** Returns the entries of the ledger that are not retired. */
  live(): LedgerEntry[] {
    return this.ledger.entries().filter(entry => entry.retired === null);
  }

  entriesOf(machine: Pick<Machine, 'uuid'>): LedgerEntry[] {
    return this.ledger.ofMachine(this.network.name, machine.uuid);
  }

  define(machine: Machine, moment: 'booting' | 'defined' = 'defined'): Reserved {
    this.machines.set(machine.uuid, machine);
    // As the watcher left it after it last compared everything.
    this.names = formatNames(this.wantedNames());
    const { reserved, hostsfile, names } = decide(this.network, machine, moment, this.reading(), this.now);
    this.ledger = reserved.ledger;
    this.hostsfile = hostsfile ?? this.hostsfile;
    const lines = names ?? parseNames(this.names);
    assert.deepEqual([...lines].sort(), this.wantedNames().sort(), 'the file of names is complete');
    return reserved;
  }

  reading() {
    return {
      ledger: this.ledger,
      hostsfile: this.hostsfile,
      names: this.names,
      hostName: 'sandbox',
      hostMacs: this.hostMacs,
      leases: () => this.leases,
      answered: this.answered,
      ownBlocks: () => this.ownBlocks,
      isKnown: (id: string) => this.machines.has(id),
      isRunning: (id: string) => this.running.has(id),
    };
  }

  undefine(id: string): void {
    this.machines.delete(id);
    this.ledger = retire(this.ledger, [id], this.now).ledger;
    this.hostsfile = withReservations(this.hostsfile, this.wantedLines()) ?? this.hostsfile;
  }

  wantedLines(): string[] {
    return wantedReservations(this.network, this.ledger, this.hostsfile);
  }

  wantedNames(): string[] {
    return wantedNames(this.network, this.ledger, this.hostsfile, []);
  }

  advance(durationMs: number): void {
    this.now = new Date(this.now.getTime() + durationMs);
  }
}

function poolLines(size: number) {
  return [`dhcp-range = 192.168.100.10-192.168.100.${9 + size}`];
}

function at(lastByte: number) {
  return ip(`192.168.100.${lastByte}`);
}

function machine(
  number: number,
  name: string,
  macs: readonly (Mac | number)[],
  wishes: Partial<Wishes> = {},
): Machine {
  const own = macs.map(one => (typeof one === 'number' ? mac(one) : one));
  return {
    name,
    uuid: uuid(number),
    macs: own,
    isolated: new Set<Mac>(),
    wishes: { ...noWishes, ...wishes },
  };
}

function textOf(entry: LedgerEntry | undefined): string {
  return entry === undefined || entry.problem === null ? '' : problemText(entry.problem);
}

reservations('a machine gets its formula address, and keeps it', () => {
  const host = new Host();
  const [first] = host.define(machine(1, 'web', [1])).entries;
  assert.equal(first?.ip, at(155), 'see the examples in docs/identity.md');
  assert.deepEqual(
    [first?.hostname, first?.nic, first?.booted, first?.retired, first?.problem],
    ['web', 0, false, null, null],
  );
  host.advance(30 * 24 * hourMs);
  const again = host.define(machine(1, 'web', [1]), 'booting');
  assert.deepEqual(again.entries[0], {
    ...first,
    firstSeen: again.entries[0]?.firstSeen,
    lastSeen: again.entries[0]?.lastSeen,
    booted: true,
  });
  assert.deepEqual(again.events, []);
  assert.equal(
    host.define(machine(1, 'web', [1]), 'defined').entries[0]?.booted,
    true,
    'booted is never reset',
  );
});

reservations('the time of the last sighting is written once an hour', () => {
  const host = new Host();
  host.define(machine(1, 'web', [1]));
  const before = host.ledger.entries();
  host.advance(hourMs - 2000);
  host.define(machine(1, 'web', [1]));
  assert.deepEqual(host.ledger.entries(), before);
  host.advance(3000);
  host.define(machine(1, 'web', [1]));
  assert.notDeepEqual(host.ledger.entries(), before);
});

reservations('a decision produces events only for changes', () => {
  const host = new Host(poolLines(1));
  const kindsOf = (reserved: Reserved) => reserved.events.map(({ kind }) => kind);
  assert.deepEqual(kindsOf(host.define(machine(1, 'web', [1]))), ['reserved']);
  assert.deepEqual(kindsOf(host.define(machine(1, 'web', [1]))), []);
  assert.deepEqual(kindsOf(host.define(machine(1, 'www', [1]))), ['changed']);
  assert.deepEqual(kindsOf(host.define(machine(1, 'www', [2]))), ['changed']);
  assert.deepEqual(kindsOf(host.define(machine(2, 'db', [3]))), ['reserved', 'problem']);
  assert.deepEqual(kindsOf(host.define(machine(2, 'db', [3]))), [], 'the same problem is reported once');
});

reservations('a renamed machine keeps its MAC and address, and gets the new host name', () => {
  const host = new Host();
  const [before] = host.define(machine(1, 'web', [1])).entries;
  const [after] = host.define(machine(1, 'shop', [1])).entries;
  assert.deepEqual(
    [after?.ip, after?.macs, after?.name, after?.hostname],
    [before?.ip, before?.macs, 'shop', 'shop'],
  );
  assert.deepEqual(host.hostsfile.ours, [reservationLine({ macs: [mac(1)], ip: at(155), hostname: 'shop' })]);
});

reservations('a NIC that is unplugged while its machine is renamed gets the new host name, too', () => {
  const host = new Host();
  const [, second] = host.define(machine(1, 'web', [1, 2])).entries;
  host.define(machine(1, 'web', [1]));
  host.define(machine(1, 'shop', [1]));
  const [, after] = host.entriesOf(machine(1, 'shop', []));
  assert.deepEqual([after?.name, after?.hostname, after?.ip], ['shop', 'shop-1', second?.ip]);
  assert(second?.ip);
  const lines = [
    { macs: [mac(1)], ip: at(155), hostname: 'shop' },
    { macs: [mac(2)], ip: second.ip, hostname: 'shop-1' },
  ];
  assert.deepEqual([...host.hostsfile.ours].sort(), lines.map(reservationLine).sort());
});

reservations('removing NIC 0 changes no other NIC, and a new NIC 0 gets the old address', () => {
  const host = new Host();
  const [first, second] = host.define(machine(1, 'web', [1, 2])).entries;
  assert.deepEqual(host.define(machine(1, 'web', [2])).entries, [second]);
  const [replaced, kept] = host.define(machine(1, 'web', [3, 2])).entries;
  assert.deepEqual([replaced?.ip, replaced?.macs], [first?.ip, [mac(3), mac(1)]]);
  assert.deepEqual(kept, second);
});

reservations('a NIC keeps its latest four MACs, because a snapshot may restore an earlier one', () => {
  const host = new Host();
  for (const number of [1, 2, 3, 4, 5, 2]) host.define(machine(1, 'web', [number]));
  assert.deepEqual(host.entriesOf(machine(1, 'web', []))[0]?.macs, [2, 5, 4, 3].map(mac));
  assert.deepEqual(host.hostsfile.ours, [
    reservationLine({ macs: [2, 5, 4, 3].map(mac), ip: at(155), hostname: 'web' }),
  ]);
});

reservations('an earlier MAC of a NIC moves to the new NIC that uses it', () => {
  const host = new Host();
  host.define(machine(1, 'web', [1]));
  const [first] = host.define(machine(1, 'web', [2])).entries;
  const [kept, added] = host.define(machine(1, 'web', [2, 1])).entries;
  assert.deepEqual(kept, { ...first, macs: [mac(2)] });
  assert.deepEqual([added?.macs, added?.hostname], [[mac(1)], 'web-1']);
  assert.notEqual(added?.ip, kept?.ip);
  assert.deepEqual(host.define(machine(1, 'web', [2, 1])).entries, [kept, added]);
});

reservations('a NIC is recognised by its current MAC before an earlier one', () => {
  const host = new Host();
  host.define(machine(1, 'web', [1]));
  const [first] = host.define(machine(1, 'web', [2])).entries;
  const [added, kept] = host.define(machine(1, 'web', [1, 2])).entries;
  assert.equal(kept?.ip, first?.ip);
  assert.deepEqual([added?.macs, kept?.macs], [[mac(1)], [mac(2)]]);
});

reservations('a NIC that is added again gets its address, even if another has its host name', () => {
  const host = new Host();
  const [, second] = host.define(machine(1, 'web', [1, 2])).entries;
  host.undefine(uuid(1));
  host.define(machine(1, 'web', [1]));
  const [first] = host.define(machine(1, 'web-1', [1])).entries;
  assert.equal(first?.hostname, second?.hostname);
  const ips = host.define(machine(1, 'web-1', [1, 2])).entries.map(entry => entry.ip);
  assert.deepEqual(ips, [first?.ip, second?.ip]);
});

reservations('NICs that swap MACs also swap addresses', () => {
  const host = new Host();
  const [first, second] = host.define(machine(1, 'web', [1, 2])).entries;
  assert.deepEqual(host.define(machine(1, 'web', [2, 1])).entries, [second, first]);
});

reservations(
  'two machines with the same MAC: the first keeps it, the second gets a problem until the first releases it',
  () => {
    const host = new Host();
    const [first] = host.define(machine(1, 'web', [1])).entries;
    const { entries, events } = host.define(machine(2, 'db', [1]), 'booting');
    assert.deepEqual(
      entries.map(entry => [entry.ip, textOf(entry)]),
      [[null, 'MAC 52:54:00:00:00:01 is also that of web: give one of them another']],
    );
    assert.deepEqual(
      events.map(({ kind }) => kind),
      ['reserved', 'problem'],
    );
    assert.deepEqual(host.define(machine(1, 'web', [1])).entries, [first]);
    host.define(machine(1, 'web', [3]));
    const [second] = host.define(machine(2, 'db', [1])).entries;
    assert.deepEqual([second?.ip, second?.problem, second?.macs], [at(98), null, [mac(1)]]);
    assert.deepEqual(host.entriesOf(machine(1, '', []))[0]?.macs, [mac(3)]);
    assert.equal(host.hostsfile.ours.length, 2, 'the first, which lost an earlier MAC, keeps its line');
  },
);

reservations('a machine with a MAC of the host gets no address, and a problem until it has another', () => {
  const host = new Host();
  host.hostMacs = [mac(1)];
  const { entries, why } = host.define(machine(1, 'web', [1]), 'booting');
  assert.deepEqual(
    entries.map(entry => [entry.ip, textOf(entry)]),
    [[null, 'MAC 52:54:00:00:00:01 is that of the gateway, so nothing reaches it: give its NIC another']],
  );
  assert(why[0]?.map(trailText).includes('MAC 52:54:00:00:00:01: held by the gateway'), 'the trail says so');
  const [second] = host.define(machine(1, 'web', [2])).entries;
  assert.deepEqual([second?.ip, second?.problem], [at(155), null]);
});

reservations(
  'two NICs of a machine with the same MAC: the first keeps it, even if libvirt does not list the machine yet',
  () => {
    const host = new Host();
    const twice = machine(1, 'web', [1, 1]);
    const context = {
      network: host.network,
      byHand: [],
      leases: () => [],
      answered: new Set<Ipv4>(),
      ownBlocks: () => [],
      isKnown: () => false,
      isRunning: () => false,
      hostName: 'sandbox',
      hostMacs: [],
      now: host.now,
    };
    const [first, second] = reserve(host.ledger, twice, 'booting', context).entries;
    assert.deepEqual([first?.ip, second?.ip], [at(155), null]);
    assert.match(textOf(second), /also that of another of its NICs/);
    const { ledger, entries } = host.define(twice);
    assert.deepEqual(
      entries.map(entry => entry.ip),
      [at(155), null],
    );
    assert.deepEqual(host.define(twice).ledger.entries(), ledger.entries());
  },
);

reservations('a MAC that its first owner uses again is not reserved for the second', () => {
  const host = new Host();
  host.define(machine(1, 'web', [1]));
  host.define(machine(2, 'db', [1]));
  const [db] = host.define(machine(2, 'db', [2])).entries;
  assert.deepEqual(db?.macs, [mac(2)], 'the second has only its new MAC');
  assert.equal(host.hostsfile.ours.filter(line => line.includes(mac(1))).length, 1);
});

reservations('a new machine inherits the reservations of an undefined one with its name', () => {
  for (const isSeen of [true, false]) {
    const host = new Host();
    const entries = host.define(machine(1, 'web', [1, 2])).entries;
    if (isSeen) host.undefine(uuid(1));
    else host.machines.delete(uuid(1));
    const other = host.define(machine(2, 'other', [3])).entries[0]?.ip;
    const heirs = host.define(machine(3, 'web', [4, 5])).entries;
    assert.deepEqual(
      heirs.map(entry => [entry.ip, entry.hostname, entry.nic]),
      entries.map(entry => [entry.ip, entry.hostname, entry.nic]),
    );
    assert(!entries.some(entry => entry.ip === other));
    assert.deepEqual(host.entriesOf(machine(1, '', [])), []);
  }
});

reservations('the address of a machine that no longer exists is for one that asks for it', () => {
  for (const isSeen of [true, false]) {
    const host = new Host();
    host.define(machine(1, 'gone', [1], { ip: at(60) }));
    if (isSeen) host.undefine(uuid(1));
    else host.machines.delete(uuid(1));
    const [heir] = host.define(machine(2, 'heir', [2], { ip: at(60) }), 'booting').entries;
    assert.deepEqual([heir?.ip, heir?.problem], [at(60), null]);
    assert.deepEqual(host.hostsfile.ours, host.wantedLines());
    assert.equal(host.hostsfile.ours.length, 1);
  }
});

reservations('a second machine of a name inherits nothing from a defined one', () => {
  const host = new Host();
  const [first] = host.define(machine(1, 'web', [1])).entries;
  const [second] = host.define(machine(2, 'web', [2])).entries;
  assert.notEqual(second?.ip, first?.ip);
  assert.match(second?.hostname ?? '', /^web-[0-9a-f]{6}$/);
});

reservations('a machine that is off gets its plain name once that is free, and nobody loses one', () => {
  const host = new Host();
  const [converted, plain] = [machine(1, 'Db', [1]), machine(2, 'db', [2])];
  const nameAt = (subject: Machine, moment: 'booting' | 'defined' = 'defined') =>
    host.define(subject, moment).entries[0]?.hostname ?? '';
  assert.equal(nameAt(converted), 'db');
  const suffixed = nameAt(plain, 'booting');
  assert.match(suffixed, /^db-[0-9a-f]{6}$/);
  assert.equal(nameAt(plain), suffixed, 'the other one has it');
  host.undefine(converted.uuid);
  assert.equal(nameAt(plain, 'booting'), suffixed, 'it may run');
  assert.equal(nameAt(plain), 'db');
  assert.deepEqual(host.hostsfile.ours, host.wantedLines());
  for (const moment of ['booting', 'defined'] as const) {
    assert.match(nameAt(converted, moment), /^db-[0-9a-f]{6}$/, moment);
    assert.equal(nameAt(plain, moment), 'db', moment);
  }
});

reservations(
  'when the pool is used up, the longest retired address is reused, and never that of a defined machine',
  () => {
    const host = new Host(poolLines(3));
    for (const number of [1, 2, 3]) host.define(machine(number, `vm${number}`, [number]));
    const ipOf = (number: number) => host.entriesOf(machine(number, '', []))[0]?.ip;
    for (const number of [2, 3]) {
      host.advance(hourMs);
      host.undefine(uuid(number));
    }
    const [oldest, second, first] = [ipOf(2), ipOf(3), ipOf(1)];
    assert.equal(host.define(machine(4, 'vm4', [4])).entries[0]?.ip, oldest);
    assert.deepEqual(host.entriesOf(machine(2, '', [])), [], 'its entry holds nothing more and is dropped');
    assert.equal(host.define(machine(5, 'vm5', [5])).entries[0]?.ip, second);
    const [none] = host.define(machine(6, 'vm6', [6])).entries;
    assert.deepEqual(
      [none?.ip, none?.problem],
      [
        null,
        { kind: 'pool-exhausted', held: { reserved: 3, leased: 0, answered: 0, fixed: 0, elsewhere: 0 } },
      ],
    );
    assert.equal(ipOf(1), first);
    assert(!host.hostsfile.ours.some(line => line.includes(mac(6))));
    host.undefine(uuid(1));
    assert.equal(host.define(machine(6, 'vm6', [6])).entries[0]?.ip, first, 'an address becomes free');
  },
);

reservations('a retired address outside of the pool goes to nobody but a machine that comes back', () => {
  const wide = new Host(poolLines(3));
  for (const number of [1, 2, 3]) wide.define(machine(number, `vm${number}`, [number]));
  for (const number of [1, 2, 3]) wide.undefine(uuid(number));
  const before = wide.ledger.entries();
  const narrowed = () => Object.assign(new Host(poolLines(1)), { ledger: wide.ledger });
  const host = narrowed();
  assert.equal(host.define(machine(4, 'vm4', [4])).entries[0]?.ip, at(10));
  const [none] = host.define(machine(5, 'vm5', [5])).entries;
  assert.deepEqual([none?.ip, none?.problem?.kind], [null, 'pool-exhausted']);
  for (const { name, nic, ip: had, macs } of before) {
    const [number] = before.flatMap((entry, index) => (entry.name === name ? [index + 1] : []));
    for (const id of [number ?? 0, 9]) {
      const again = { ...machine(id, name, macs) };
      assert.equal(narrowed().define(again).entries[nic]?.ip, had, `${name} with the UUID ${id}`);
    }
  }
});

function lease(number: number, lastByte: number, expires = 0): Lease {
  return { mac: mac(number), ip: at(lastByte), hostname: null, clientId: null, expires };
}

reservations(
  'only the lease of a machine or device with a reservation keeps a machine from its address',
  () => {
    const soon = aDate.getTime() / 1000 + 60;
    const cases: [lease: Lease, expected: number][] = [
      [lease(8, 155, soon), 156],
      [lease(8, 155), 156],
      [lease(8, 155, soon - 120), 155],
      [lease(7, 155), 156],
      [lease(1, 155, soon), 155],
      [lease(9, 155), 155],
    ];
    for (const [held, expected] of cases) {
      const host = new Host([], [`${mac(7)},printer`]);
      host.define(machine(8, 'other', [8]));
      host.leases = [held];
      assert.equal(host.define(machine(1, 'web', [1])).entries[0]?.ip, at(expected), JSON.stringify(held));
      host.leases = [lease(8, expected)];
      assert.equal(
        host.define(machine(1, 'web', [1])).entries[0]?.ip,
        at(expected),
        'an assigned address is kept',
      );
    }
  },
);

reservations('of two leases of an address, which a damaged file may have, each counts', () => {
  for (const leases of [
    [lease(8, 155), lease(9, 155)],
    [lease(9, 155), lease(8, 155)],
  ]) {
    const host = new Host();
    host.define(machine(8, 'other', [8]));
    host.leases = leases;
    assert.equal(host.define(machine(1, 'web', [1])).entries[0]?.ip, at(156));
  }
});

reservations('leases of strangers for the whole pool change nothing', () => {
  const host = new Host(poolLines(5));
  host.leases = [10, 11, 12, 13, 14].map((lastByte, index) => lease(20 + index, lastByte));
  const free = new Host(poolLines(5));
  for (const number of [1, 2, 3, 4, 5]) {
    const wanted = machine(number, `vm${number}`, [number]);
    assert.equal(host.define(wanted).entries[0]?.ip, free.define(wanted).entries[0]?.ip);
  }
});

reservations('an address that somebody answers for is given to no new machine, and the trail says so', () => {
  const host = new Host();
  host.answered.add(at(155));
  const { entries, why } = host.define(machine(1, 'web', [1]));
  assert.equal(entries[0]?.ip, at(156));
  const step = why[0]?.at(-1);
  assert(step?.kind === 'address');
  assert.match(trailText(step), /192\.168\.100\.155 is not free \(somebody on the bridge answers for it\)/);
  host.answered.add(at(156));
  assert.equal(host.define(machine(1, 'web', [1])).entries[0]?.ip, at(156), 'an assigned address is kept');
  const full = new Host(poolLines(1));
  full.answered.add(at(10));
  const [none] = full.define(machine(2, 'db', [2])).entries;
  assert.match(textOf(none), /\(1 answered for by somebody on the bridge\)/);
});

reservations(
  'of a machine with thousands of NICs only the first get addresses, and its problem says so',
  () => {
    const nics = Array.from({ length: 10_000 }, (_, nic) => ({
      mac: mac(
        `02:00:00:00:${(nic >> 8).toString(16).padStart(2, '0')}:${(nic & 255).toString(16).padStart(2, '0')}`,
      ),
      bridge: 'k8s-br0',
      network: null,
      tap: null,
      ...asMade,
    }));
    const wanted = machineOn('k8s-br0', new Set(), { name: 'many', uuid: uuid(1), nics, metadata: [] });
    const { entries } = new Host().define(wanted);
    assert.equal(entries.length, maxNics);
    assert.match(
      textOf(entries[0]),
      /^it has 10000 NICs on this network, and only the first 128 get addresses$/,
    );
  },
);

reservations('lines written by hand have priority', () => {
  const host = new Host([], [`${mac(1)},192.168.100.50,left`, '192.168.100.155', 'web', `${mac(4)},printer`]);
  const entriesOf = (...args: Parameters<typeof machine>) => host.define(machine(...args)).entries;
  assert.deepEqual(
    entriesOf(1, 'one', [1]).map(entry => entry.ip),
    [at(50)],
    'a MAC with an address',
  );
  const [web] = entriesOf(2, 'web', [2]);
  assert.equal(web?.ip, at(156), 'an address alone');
  assert.match(web?.hostname ?? '', /^web-[0-9a-f]{6}$/, 'a name alone');
  const [three] = entriesOf(3, 'three', [4]);
  assert.match(textOf(three), /^a line of the hostsfile has its MAC 52:54:00:00:00:04 and no address, /);
  assert.deepEqual(
    host.hostsfile.ours.map(line => line.slice(0, 17)),
    [mac(2)],
    'a MAC in a line written by hand has no second line',
  );
  const [left] = entriesOf(1, 'left', [1]);
  assert.equal(left?.hostname, 'left', 'the host name in the line of its MAC');
});

reservations('a line by which dnsmasq ignores a MAC leaves it without a line, and is named', () => {
  const host = new Host();
  assert.equal(host.define(machine(1, 'web', [1])).entries[0]?.ip, at(155));
  host.hostsfile = { ...host.hostsfile, byHand: [`${mac(1)},ignore`] };
  const [ignored] = host.define(machine(1, 'web', [1])).entries;
  assert.equal(ignored?.ip, at(155), 'as the machine has it set itself, perhaps');
  assert.match(
    textOf(ignored),
    /^a line of the hostsfile tells dnsmasq to ignore its MAC 52:54:00:00:00:01: /,
  );
  assert.deepEqual(host.wantedLines(), []);
  host.hostsfile = { ...host.hostsfile, byHand: [] };
  const [again] = host.define(machine(1, 'web', [1])).entries;
  assert.deepEqual([again?.ip, again?.problem], [at(155), null]);
});

reservations('a line with an address that no machine can have does not count, and is named', () => {
  for (const address of ['192.168.100.0', '192.168.100.1', '192.168.100.255', '10.0.0.9']) {
    const host = new Host([], [`${mac(1)},${address},nas`]);
    const [web] = host.define(machine(1, 'web', [1])).entries;
    assert.deepEqual([web?.ip, web?.hostname], [at(155), 'web'], address);
    assert(textOf(web).includes(`a line of the hostsfile gives it ${address}, which no machine`));
    assert.deepEqual(host.wantedLines(), [`${mac(1)},id:*,192.168.100.155,web # virlan`]);
    // The address in the metadata is given all the same.
    const wished = machine(1, 'web', [1], { ip: at(60) });
    const [moved] = host.define(wished).entries;
    assert.deepEqual([moved?.ip, moved?.problem?.kind], [at(60), 'line-unusable'], address);
    host.hostsfile = { ...host.hostsfile, byHand: [] };
    assert.equal(host.define(wished).entries[0]?.problem, null);
  }
});

reservations('of several lines with one MAC, the first that dnsmasq follows decides', () => {
  const unusable = `${mac(1)},10.0.0.9`;
  const good = `${mac(1)},192.168.100.50`;
  const cases = [
    [[unusable, good], null],
    [[good, `${mac(1)},ignore`], null],
    [[`${mac(1)},ignore`, good], 'mac-ignored'],
    [[unusable, `${mac(1)},12h`], 'line-without-address'],
  ] as const;
  for (const [lines, problem] of cases) {
    const [web] = new Host([], lines).define(machine(1, 'web', [1])).entries;
    const address = problem === null ? at(50) : at(155);
    assert.deepEqual([web?.ip, web?.problem?.kind ?? null], [address, problem], lines.join(' '));
  }
  const section = ['[host.nas]', 'network = k8s-br0', `mac = ${mac(1)}`, 'ip = 192.168.100.60'];
  const [nas] = new Host(section, [unusable]).define(machine(1, 'nas', [1])).entries;
  assert.deepEqual([nas?.ip, nas?.problem?.kind], [at(60), 'line-unusable']);
});

reservations('a line written later moves the machine with its MAC, and the one that had its address', () => {
  const host = new Host();
  host.define(machine(1, 'web', [1]));
  host.define(machine(2, 'db', [2]));
  host.hostsfile = { ...host.hostsfile, byHand: [`${mac(2)},192.168.100.155`] };
  assert.equal(host.define(machine(2, 'db', [2])).entries[0]?.ip, at(155));
  assert.equal(host.define(machine(1, 'web', [1])).entries[0]?.ip, at(156));
});

reservations('a line for two NICs of one machine gives its address to one of them', () => {
  const host = new Host([], [`${mac(1)},${mac(2)},192.168.100.50`]);
  for (let times = 0; times < 3; times++) {
    const ips = host.define(machine(1, 'laptop', [1, 2])).entries.map(entry => entry.ip);
    assert.deepEqual(
      ips.filter(one => one !== null),
      [at(50)],
    );
  }
});

reservations('the address, the MAC and the name of a fixed host are reserved for it', () => {
  const fixed = ['[host.printer]', 'network = k8s-br0', `mac = ${mac(9)}`, 'ip = 192.168.100.11'];
  const host = new Host([...poolLines(3), ...fixed]);
  host.hostsfile = withReservations(host.hostsfile, host.wantedLines()) ?? host.hostsfile;
  const given = [1, 2, 3].map(
    number => host.define(machine(number, `vm${number}`, [number])).entries[0]?.ip ?? null,
  );
  assert.deepEqual(new Set(given), new Set([at(10), at(12), null]));
  const [itself] = host.define(machine(4, 'printer', [9])).entries;
  assert.deepEqual([itself?.ip, itself?.hostname], [at(11), 'printer']);
  assert.match(host.define(machine(5, 'printer', [5])).entries[0]?.hostname ?? '', /^printer-/);
  const line = reservationLine({ macs: [mac(9)], ip: at(11), hostname: 'printer' });
  assert(host.hostsfile.ours.includes(line), 'a machine with its MAC does not change its line');
  host.define(machine(1, 'vm1', [9]));
  host.define(machine(1, 'vm1', [1]));
  assert.deepEqual(
    host.wantedLines().filter(text => text.includes(mac(9))),
    [line],
  );
});

reservations('wishes in metadata are granted, or reported as a problem', () => {
  const cases: [wishes: Partial<Wishes>, ip: number, hostname: string, problem: RegExp | null][] = [
    [{ ip: at(50) }, 50, 'web', null],
    [{ ip: ip('192.168.100.5') }, 5, 'web', null],
    [{ hostname: 'shop' }, 155, 'shop', null],
    [{ ip: at(98) }, 155, 'web', /^its address 192\.168\.100\.98 is that of db: choose another/],
    [{ ip: at(20) }, 155, 'web', /^its address 192\.168\.100\.20 is not free on this network/],
    [{ ip: at(1) }, 155, 'web', /not free/],
    [{ ip: at(0) }, 155, 'web', /not free/],
    [{ ip: at(255) }, 155, 'web', /not free/],
    [{ ip: ip('10.0.0.7') }, 155, 'web', /not free/],
    [{ hostname: 'db' }, 155, 'web', /^its hostname db is taken: choose another/],
    [{ hostname: 'left' }, 155, 'web', /taken/],
    [
      { problems: [{ kind: 'metadata-invalid', attribute: 'ip' }] },
      155,
      'web',
      /^its metadata's ip is not valid: /,
    ],
  ];
  for (const [wishes, lastByte, hostname, problem] of cases) {
    const host = new Host([], [`${mac(20)},192.168.100.20,left`]);
    host.define(machine(2, 'db', [2]));
    const [first, second] = host.define(machine(1, 'web', [1, 3], wishes)).entries;
    assert.deepEqual(
      [first && formatIp(first.ip ?? (0 as Ipv4)), first?.hostname],
      [`192.168.100.${lastByte}`, hostname],
    );
    if (problem === null) assert.equal(first?.problem, null);
    else assert.match(textOf(first), problem);
    assert.deepEqual([second?.ip, second?.hostname], [at(152), 'web-1'], 'wishes apply to the first NIC');
    assert.deepEqual(second?.problem, wishes.problems?.[0] ?? null);
  }
});

reservations(
  'machines that ask for the addresses of each other get them, in a ring too, once all are off',
  () => {
    for (const size of [2, 3]) {
      const host = new Host();
      const numbers = [1, 2, 3].slice(0, size);
      const asking = (number: number, turns: number) =>
        machine(number, `vm${number}`, [number], { ip: at(50 + ((number + turns) % size)) });
      const ips = () => numbers.map(number => host.entriesOf(asking(number, 0))[0]?.ip);
      for (const number of numbers) host.define(asking(number, 0));
      const before = ips();
      for (const number of numbers) host.running.add(asking(number, 0).uuid);
      for (const number of numbers) host.define(asking(number, 1));
      assert.deepEqual(ips(), before, 'each has what its system has');
      host.running.clear();
      // Defines them again until nothing changes, as the watcher does with machines that lack something.
      for (let round = 0; round < size; round++) for (const number of numbers) host.define(asking(number, 1));
      assert.deepEqual(
        ips(),
        numbers.map(number => at(50 + ((number + 1) % size))),
      );
      assert(host.live().every(({ problem }) => problem === null));
    }
  },
);

reservations('no machine gives its address up for one that it does not get', () => {
  const host = new Host();
  host.define(machine(1, 'holder', [1], { ip: at(50) }));
  host.define(machine(2, 'waits', [2], { ip: at(51) }));
  host.define(machine(2, 'waits', [2], { ip: at(50) }));
  const [other] = host.define(machine(3, 'asks', [3], { ip: at(51) })).entries;
  assert.match(textOf(other), /is that of waits/);
  assert.equal(host.entriesOf(machine(2, 'waits', [2]))[0]?.ip, at(51));
});

reservations('a NIC that is inserted before the first one leaves it what the machine asks for', () => {
  const host = new Host();
  const wishes = { ip: at(50), hostname: 'shop', aliases: ['api'] };
  const shown = (macs: readonly number[]) =>
    host
      .define(machine(1, 'web', macs, wishes))
      .entries.map(({ ip: address, hostname, aliases, problem, refusedAliases }) => [
        address === at(50),
        hostname,
        aliases,
        problem,
        refusedAliases,
      ]);
  const first = [true, 'shop', ['api'], null, []];
  const other = [false, 'web', [], null, []];
  assert.deepEqual(shown([1]), [first]);
  assert.deepEqual(shown([2, 1]), [other, first]);
  const reading = { ...host.reading(), isDefinedElsewhere: () => false };
  const known = { ...reading, machine: machine(1, 'web', [2, 1], wishes) };
  const { address } = predictAddress(host.network, { name: 'web', nic: 0 }, known, host.now);
  assert.equal(address, at(50), '`virlan ip web` prints it');
  assert.deepEqual(shown([2]), [first], 'it is the first once the other has gone');
  assert.equal(host.live().length, 2, 'the MAC of that one stays known');
  const [, returned] = shown([2, 1]);
  assert.deepEqual(returned?.slice(2), [[], null, []], 'what is in use does not move');
  assert.deepEqual(
    host
      .entriesOf(machine(1, 'web', []))
      .flatMap(({ macs }) => macs)
      .sort(),
    [mac(1), mac(2)],
  );
});

reservations('a later wish is granted, and its removal does not move the machine', () => {
  const host = new Host();
  host.define(machine(1, 'web', [1]));
  host.define(machine(1, 'web', [1], { ip: at(50), hostname: 'shop' }));
  assert.deepEqual(host.hostsfile.ours, [reservationLine({ macs: [mac(1)], ip: at(50), hostname: 'shop' })]);
  const [after] = host.define(machine(1, 'web', [1])).entries;
  assert.deepEqual([after?.ip, after?.hostname], [at(50), 'web']);
});

reservations('a wish for the address and name of a retired machine is granted', () => {
  const host = new Host();
  host.define(machine(1, 'web', [1, 2]));
  host.undefine(uuid(1));
  const [first, second] = host.define(machine(2, 'web', [3, 4], { ip: at(152), hostname: 'web-1' })).entries;
  assert.deepEqual([first?.ip, first?.hostname], [at(152), 'web-1']);
  assert(second?.ip !== null && second?.ip !== at(152) && second?.hostname !== 'web-1');
});

reservations('a line with the name of a machine and without a MAC is named', () => {
  const host = new Host();
  host.hostsfile = { ...host.hostsfile, byHand: ['web,192.168.100.50'] };
  const [entry] = host.define(machine(1, 'web', [1])).entries;
  assert.match(entry?.hostname ?? '', /^web-/);
  assert.match(textOf(entry), /its hostname web is taken: .*a line of yours that is about it needs its MAC/);
  host.hostsfile = { ...host.hostsfile, byHand: [`${mac(1)},web,192.168.100.50`] };
  const [after] = host.define(machine(1, 'web', [1])).entries;
  assert.deepEqual([after?.hostname, after?.ip, after?.problem], ['web', at(50), null]);
});

reservations('wishes are parsed from the definition', () => {
  const domain = (attributes: Record<string, string>) => ({
    name: 'web',
    uuid: uuid(1),
    nics: [],
    metadata: [
      {
        name: 'machine',
        namespace: machineNamespace,
        attributes: new Map(Object.entries(attributes)),
        children: [],
        text: '',
      },
    ],
  });
  const wishesOf = (attributes: Record<string, string>) =>
    machineOn('k8s-br0', new Set(), domain(attributes)).wishes;
  assert.deepEqual(wishesOf({ mac: 'keep', ip: '10.0.0.7', hostname: 'web' }), {
    keepsMac: true,
    ip: ip('10.0.0.7'),
    hasOtherNics: false,
    hostname: 'web',
    aliases: [],
    boot: null,
    group: null,
    problems: [],
  });
  const url = 'http://10.0.0.1:8080/web.ipxe';
  assert.deepEqual(wishesOf({ boot: url }).boot, parseBootUrl(url));
  assert.deepEqual(wishesOf({ aliases: ' api,www\n*.apps ' }).aliases, ['api', 'www', '*.apps']);
  assert.equal(wishesOf({ group: 'shop' }).group, 'shop');
  assert.deepEqual(wishesOf({ other: 'x' }), noWishes);
  for (const [key, value] of [
    ['mac', 'assign'],
    ['ip', '10.0.0'],
    ['ip', ''],
    ['hostname', 'a.b'],
    ['hostname', '24h'],
    ['hostname', 'Web'],
    ['boot', 'web.ipxe'],
    ['boot', 'http://10.0.0.1/x,tag:y'],
    ['boot', 'http://10.0.0.1/x\ndhcp-script=/x'],
    ['boot', ''],
  ] as const) {
    const { problems, ...wishes } = wishesOf({ [key]: value });
    assert.deepEqual(wishes, {
      keepsMac: false,
      ip: null,
      hasOtherNics: false,
      hostname: null,
      aliases: [],
      boot: null,
      group: null,
    });
    assert.deepEqual(problems, [{ kind: 'metadata-invalid', attribute: key }]);
  }
});

reservations(
  'the boot of virlan.ini comes before that of the metadata; a change of it is one of the entry',
  () => {
    const url = (name: string) => parseBootUrl(`http://10.0.0.1/${name}.ipxe`) || assert.fail(name);
    const asking = {
      name: 'web',
      uuid: uuid(1),
      macs: [mac(1)],
      isolated: new Set<Mac>(),
      wishes: { ...noWishes, boot: url('own') },
    };
    const host = new Host();
    assert.deepEqual(host.define(asking, 'booting').entries[0]?.boot, url('own'));
    const configured = new Host(['[machine.web]', `boot = ${url('ini').url}`]);
    configured.define({ ...asking, wishes: noWishes }, 'booting');
    assert.deepEqual(configured.define(asking, 'booting').entries[0]?.boot, url('ini'));
    const { entries, events } = host.define({ ...asking, wishes: noWishes }, 'booting');
    assert.equal(entries[0]?.boot, null);
    assert.deepEqual(
      events.map(({ kind }) => kind),
      ['changed'],
    );
  },
);

reservations('the NICs of a network are on its bridge or on its libvirt network', () => {
  const nic = (number: number, bridge: string | null, on: string | null) => ({
    mac: mac(number),
    bridge,
    network: on,
    tap: null,
    ...asMade,
  });
  const domain = {
    name: 'web',
    uuid: uuid(1),
    metadata: [],
    nics: [
      nic(1, 'k8s-br0', null),
      nic(2, null, 'k8s-br0'),
      nic(3, null, 'default'),
      nic(4, 'k8s-br0', 'default'),
      nic(5, 'virbr0', 'k8s-br0'),
      nic(6, null, null),
    ],
  };
  assert.deepEqual(machineOn('k8s-br0', new Set(['k8s-br0']), domain).macs, [1, 2, 4].map(mac));
  assert.deepEqual(machineOn('k8s-br0', new Set(['k8s-br0', 'default']), domain).macs, [1, 2, 3, 4].map(mac));
});

reservations('an excerpt replaces control characters and is limited in length', () => {
  assert.equal(excerpt('a\nb\u001b[31m\u202e', 40), 'a?b?[31m?');
  assert.equal(excerpt('x'.repeat(41), 40).length, 40);
});

reservations('each decision has its reasons', () => {
  /** Returns the reasons for one NIC, without the skipped addresses. */
  const reasons = ({ why }: Reserved, nic = 0) =>
    why[nic]?.map(step =>
      step.kind === 'claim' ? `claim: ${step.outcome}` : `${step.kind}: ${step.reason}`,
    );
  const host = new Host([
    ...poolLines(3),
    '[host.printer]',
    'network = k8s-br0',
    `mac = ${mac(9)}`,
    'ip = 192.168.100.11',
  ]);
  assert.deepEqual(reasons(host.define(machine(1, 'web', [1]))), [
    'entry: none',
    'hostname: machine-name',
    'address: formula',
  ]);
  assert.deepEqual(reasons(host.define(machine(1, 'web', [1]))), [
    'entry: current-mac',
    'hostname: ledger',
    'address: ledger',
  ]);
  assert.deepEqual(reasons(host.define(machine(1, 'web', [2])))?.[0], 'entry: place');
  assert.deepEqual(reasons(host.define(machine(1, 'web', [1])))?.[0], 'entry: earlier-mac');
  assert.deepEqual(reasons(host.define(machine(2, 'db', [1]))), [
    'entry: none',
    'claim: held',
    'hostname: machine-name',
    'address: mac-taken',
  ]);
  assert.deepEqual(reasons(host.define(machine(2, 'db', [2]))), [
    'entry: place',
    'claim: released',
    'hostname: ledger',
    'address: formula',
  ]);
  assert.deepEqual(reasons(host.define(machine(3, 'x', [3])))?.at(-1), 'address: none');
  host.undefine(uuid(1));
  assert.deepEqual(reasons(host.define(machine(3, 'x', [3])))?.at(-1), 'address: retired-reused');
  assert.deepEqual(reasons(host.define(machine(4, 'web', [4])))?.[0], 'entry: none');
  host.undefine(uuid(2));
  assert.deepEqual(reasons(host.define(machine(5, 'db', [5])))?.[0], 'entry: name');
  assert.deepEqual(reasons(host.define(machine(8, 'printer', [9])))?.at(-1), 'address: fixed-host');
  const wish = machine(6, 'wish', [6], { ip: at(50), hostname: 'shop' });
  assert.deepEqual(reasons(host.define(wish))?.slice(1), ['hostname: metadata', 'address: metadata']);
  host.hostsfile = { ...host.hostsfile, byHand: [`${mac(7)},192.168.100.60`] };
  assert.deepEqual(reasons(host.define(machine(7, 'hand', [7])))?.at(-1), 'address: hostsfile');
});

reservations('the trail of an address that is not by the formula lists the skipped ones', () => {
  const host = new Host([], ['192.168.100.156']);
  host.define(machine(8, 'other', [8]));
  host.leases = [lease(8, 155)];
  const { why } = host.define(machine(1, 'web', [1]));
  const step = why[0]?.at(-1);
  assert(step?.kind === 'address');
  assert.equal(step.reason, 'next-free');
  const skipped = step.skipped.map(({ address, reason }) => `${formatIp(address)} ${reason}`);
  assert.deepEqual(skipped, ['192.168.100.155 leased', '192.168.100.156 fixed']);
  assert.equal(
    trailText(step),
    "address 192.168.100.157: the first free one after the formula's; 192.168.100.155 is not free (leased to another machine); 192.168.100.156 is not free (a [host.…] section or a line written by hand has it)",
  );
  const [first] = Object.entries(JSON.parse(JSON.stringify(trailJson(step)))).filter(
    ([key]) => key === 'address',
  );
  assert.deepEqual(first, ['address', '192.168.100.157']);
});

reservations('a trail lists a few of the skipped addresses, and counts all', () => {
  const host = new Host(poolLines(20));
  for (let number = 1; number <= 20; number++) host.define(machine(number, `vm${number}`, [number]));
  const step = host.define(machine(21, 'last', [21])).why[0]?.at(-1);
  assert(step?.kind === 'address' && step.reason === 'none');
  assert.deepEqual([step.skipped.length, step.skippedCount], [8, 20]);
  assert.match(trailText(step), /^no address: dhcp-range is used up; .*; 12 more are not free$/);
});

reservations('a probe gets the last free address of the pool, unless it is the only one', () => {
  const addresses = (host: Host) => probeAddresses(host.network, mac(99), host.reading(), host.now);
  const host = new Host(poolLines(3), ['192.168.100.12']);
  assert.deepEqual(addresses(host), [at(11), at(10)]);
  host.leases = [lease(99, 11)];
  assert.deepEqual(addresses(host), [at(11), at(10)], 'the lease of the probe itself does not matter');
  host.leases = [lease(8, 11)];
  assert.deepEqual(addresses(host), [at(11)], 'the only free address is kept for a machine');
  host.define(machine(1, 'web', [1]));
  assert.deepEqual(addresses(host), [at(11)]);
  host.leases = [];
  assert.deepEqual(addresses(host), []);
});

reservations(
  'a probe may have what strangers have leased when nothing else is left, and nothing reserved',
  () => {
    const host = new Host(poolLines(20), ['192.168.100.12', '52:54:00:00:00:08,192.168.100.13']);
    host.leases = Array.from({ length: 20 }, (_, index) => lease(index, 10 + index));
    const last = Array.from({ length: 8 }, (_, index) => at(29 - index));
    const addresses = () => probeAddresses(host.network, mac(99), host.reading(), host.now);
    assert.deepEqual(addresses(), last);
    const all = probeAddresses(
      host.network,
      mac(99),
      { ...host.reading(), leases: () => host.leases.slice(0, 5) },
      host.now,
    );
    assert.deepEqual(all, last, 'with others free, those are taken');
    host.define(machine(1, 'web', [19]));
    assert(!addresses().includes(at(29)), 'leased to a machine');
  },
);

/** A change of one machine: that with this index, modulo their number. */
type MachineChange =
  | { readonly kind: 'rename'; readonly machine: number; readonly name: string }
  | { readonly kind: 'remove NIC'; readonly machine: number; readonly nic: number }
  | { readonly kind: 'add NIC'; readonly machine: number; readonly nic: number; readonly mac: number }
  | { readonly kind: 'set MAC'; readonly machine: number; readonly nic: number; readonly mac: number }
  | {
      readonly kind: 'wish';
      readonly machine: number;
      readonly ip: number | null;
      readonly hostname: string | null;
    }
  | { readonly kind: 'boot'; readonly machine: number }
  | { readonly kind: 'undefine'; readonly machine: number; readonly isSeen: boolean };

type HostEvent =
  | MachineChange
  | { readonly kind: 'define'; readonly name: string; readonly macs: readonly number[] }
  | { readonly kind: 'lease'; readonly mac: number; readonly ip: number; readonly minutes: number }
  | { readonly kind: 'wait'; readonly minutes: number };

// Few names, MACs and addresses, so that they often clash.
reservations('of a NIC that had the MAC of another one, nothing is left once it is unplugged', () => {
  const host = new Host();
  host.define(machine(1, 'web', [1, 1]), 'booting');
  assert.deepEqual(
    host.entriesOf(machine(1, 'web', [])).map(({ nic, problem }) => [nic, problem?.kind]),
    [
      [0, undefined],
      [1, 'mac-taken'],
    ],
  );
  host.define(machine(1, 'web', [1]), 'booting');
  assert.deepEqual(
    host.entriesOf(machine(1, 'web', [])).map(({ nic }) => nic),
    [0],
  );
});

const anyMachineName = fc.constantFrom('web', 'Web', 'db', 'x,y', '7');
const anyMacNumber = fc.integer({ min: 1, max: 8 });
const anyMachineIndex = fc.nat(5);
const anyNic = fc.nat(2);
const anyLastByte = fc.integer({ min: 8, max: 18 });

const anyHostEvent: fc.Arbitrary<HostEvent> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('define' as const),
      name: anyMachineName,
      macs: fc.array(anyMacNumber, { maxLength: 3 }),
    }),
  },
  fc.record({ kind: fc.constant('rename' as const), machine: anyMachineIndex, name: anyMachineName }),
  fc.record({ kind: fc.constant('remove NIC' as const), machine: anyMachineIndex, nic: anyNic }),
  fc.record({
    kind: fc.constant('add NIC' as const),
    machine: anyMachineIndex,
    nic: anyNic,
    mac: anyMacNumber,
  }),
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('set MAC' as const),
      machine: anyMachineIndex,
      nic: anyNic,
      mac: anyMacNumber,
    }),
  },
  fc.record({
    kind: fc.constant('wish' as const),
    machine: anyMachineIndex,
    ip: fc.option(anyLastByte),
    hostname: fc.option(fc.constantFrom('web', 'db', 'left')),
  }),
  fc.record({ kind: fc.constant('boot' as const), machine: anyMachineIndex }),
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('undefine' as const),
      machine: anyMachineIndex,
      isSeen: fc.boolean(),
    }),
  },
  fc.record({
    kind: fc.constant('lease' as const),
    mac: anyMacNumber,
    ip: anyLastByte,
    minutes: fc.nat(100),
  }),
  fc.record({ kind: fc.constant('wait' as const), minutes: fc.nat(100) }),
);

/** Applies an event to the host. Returns the machine that is to be reserved for; null if there is none. */
function applyEvent(host: Host, event: HostEvent, number: number): Machine | null {
  switch (event.kind) {
    case 'define':
      return machine(number, event.name, event.macs);
    case 'wait':
      host.advance(event.minutes * 60_000);
      return null;
    case 'lease': {
      const expires = event.minutes === 0 ? 0 : Math.floor(host.now.getTime() / 1000) + event.minutes * 60;
      host.leases = [
        ...host.leases,
        { mac: mac(event.mac), ip: at(event.ip), hostname: null, clientId: null, expires },
      ];
      return null;
    }
    case 'rename':
    case 'remove NIC':
    case 'add NIC':
    case 'set MAC':
    case 'wish':
    case 'boot':
    case 'undefine':
      return changeMachine(host, event);
  }
}

function changeMachine(host: Host, change: MachineChange): Machine | null {
  if (host.machines.size === 0) return null;
  const machines = [...host.machines.values()];
  const changed = machines[change.machine % machines.length];
  assert(changed);
  switch (change.kind) {
    case 'rename':
      return { ...changed, name: change.name };
    case 'remove NIC':
      return { ...changed, macs: changed.macs.toSpliced(change.nic, 1) };
    case 'add NIC':
      return { ...changed, macs: changed.macs.toSpliced(change.nic, 0, mac(change.mac)) };
    case 'set MAC':
      return {
        ...changed,
        macs: changed.macs.map((own, nic) => (nic === change.nic ? mac(change.mac) : own)),
      };
    case 'wish':
      return {
        ...changed,
        wishes: { ...noWishes, ip: change.ip === null ? null : at(change.ip), hostname: change.hostname },
      };
    case 'undefine':
      if (change.isSeen) host.undefine(changed.uuid);
      else host.machines.delete(changed.uuid);
      return null;
    case 'boot':
      return changed;
  }
}

function assertDistinct(values: readonly unknown[], what: string): void {
  assert.equal(new Set(values).size, values.length, `duplicate ${what}: ${values.join(' ')}`);
}

/** Checks the invariants of the ledger and the hostsfile. */
function assertConsistent(host: Host): void {
  const entries = host.ledger.entries();
  const live = host.live();
  assertDistinct(
    entries.flatMap(entry => entry.ip ?? []),
    'address',
  );
  assertDistinct(
    live.flatMap(entry => (entry.ip === null ? [] : (entry.macs[0] ?? []))),
    'current MAC with an address',
  );
  assertDistinct(
    live.map(entry => entry.hostname),
    'host name',
  );
  for (const entry of live.filter(one => host.machines.has(one.uuid))) {
    const fixed = host.network.hosts.find(one => one.ip === entry.ip);
    assert(fixed === undefined || fixed.mac === entry.macs[0], "a fixed host's address");
    const isPlugged = host.machines.get(entry.uuid)?.macs.some(own => own === entry.macs[0]);
    if (entry.ip === null && isPlugged)
      assert(['mac-taken', 'pool-exhausted'].includes(entry.problem?.kind ?? ''));
  }

  const wanted = host.wantedLines();
  assert.deepEqual(
    wanted.filter(line => !host.hostsfile.ours.includes(line)),
    [],
    'lines missing from the hostsfile',
  );
  for (const lines of [wanted, host.hostsfile.ours]) {
    assertDistinct(
      lines.flatMap(line => line.match(/[0-9a-f:]{17}/g) ?? []),
      'MAC in the hostsfile',
    );
    assertDistinct(
      lines.map(line => /192\.168\.100\.\d+/.exec(line)?.[0]),
      'address in the hostsfile',
    );
  }
}

/** Checks one decision against the ledger before it. */
function assertDecision(host: Host, before: Ledger, wanted: Machine, { entries }: Reserved): void {
  const { network: lan, byHand } = host;
  const earlier = before.entries();
  const isReserved = (one: Ipv4) =>
    lan.hosts.some(fixed => fixed.ip === one) || byHand.some(line => line.ip === one);
  const isFixed = (own: Mac) =>
    lan.hosts.some(fixed => fixed.mac === own) || byHand.some(line => line.macs.includes(own));
  const hasReservation = (other: Mac) =>
    isFixed(other) || earlier.some(one => one.retired === null && one.macs.includes(other));
  const isLeased = (one: Ipv4, own: Mac) =>
    host.leases.some(
      lease =>
        lease.ip === one &&
        lease.mac !== own &&
        hasReservation(lease.mac) &&
        (lease.expires === 0 || lease.expires * 1000 > host.now.getTime()),
    );

  assert.equal(entries.length, wanted.macs.length);
  for (const [nic, entry] of entries.entries()) {
    assert.equal(entry.macs[0], wanted.macs[nic]);
    assert.equal(entry.retired, null);
    assert(
      host.entriesOf(wanted).some(one => one.macs[0] === entry.macs[0] && one.ip === entry.ip),
      'a returned entry is in the ledger',
    );
  }
  for (const other of earlier.filter(
    one => one.uuid !== wanted.uuid && one.retired === null && host.machines.has(one.uuid),
  )) {
    const now = host.entriesOf(other).find(one => one.nic === other.nic && one.hostname === other.hostname);
    assert.equal(now?.ip, other.ip, `${other.name} lost its address to ${wanted.name}`);
    assert.equal(now?.macs[0], other.macs[0]);
  }

  const own = earlier.filter(one => one.uuid === wanted.uuid);
  const isWithoutClaims =
    wanted.wishes.ip === null &&
    new Set(wanted.macs).size === wanted.macs.length &&
    !wanted.macs.some(isFixed);
  if (!isWithoutClaims) return;
  for (const [nic, entry] of entries.entries()) {
    const current = wanted.macs[nic] as Mac;
    const isClash = earlier.some(
      one =>
        one.macs[0] === current &&
        one.uuid !== wanted.uuid &&
        one.ip !== null &&
        one.retired === null &&
        host.machines.has(one.uuid),
    );
    if (isClash) {
      assert.equal(entry.ip, null);
      assert.equal(entry.problem?.kind, 'mac-taken');
      continue;
    }
    const same = own.find(one => one.macs[0] === current);
    if (same?.ip != null && !isReserved(same.ip)) assert.equal(entry.ip, same.ip, 'an address changed');
    const predecessors =
      own.length > 0
        ? []
        : earlier.filter(
            one =>
              one.name === wanted.name &&
              one.nic === nic &&
              (one.retired !== null || !host.machines.has(one.uuid)),
          );
    const inherited = predecessors[0]?.ip;
    if (inherited != null && !isReserved(inherited)) {
      // If the pool is used up, another NIC of the same machine may have it.
      assert(
        entries.some(one => one.ip === inherited),
        'a machine did not inherit the address of its name',
      );
    }
    if (own.length > 0 || predecessors.length > 0 || wanted.macs.length > 1) continue;

    // From here on: a new machine with one NIC.
    const pool = Array.from({ length: lan.range.last - lan.range.first + 1 }, (_, place) =>
      ipv4After(lan.range.first, place),
    );
    const assigned = earlier.map(one => one.ip);
    const free = pool.filter(one => !assigned.includes(one) && !isReserved(one) && !isLeased(one, current));
    const retired = earlier
      .filter(
        // Leaves out addresses outside of the pool, which the metadata may have asked for.
        one =>
          one.ip !== null &&
          pool.includes(one.ip) &&
          one.retired !== null &&
          !isReserved(one.ip) &&
          !isLeased(one.ip, current),
      )
      .sort((a, b) => Number(a.retired) - Number(b.retired));
    if (free.length > 0) assert(free.includes(entry.ip as Ipv4), 'a free address was not used');
    else if (retired.length > 0) {
      const longest = retired.filter(one => Number(one.retired) === Number(retired[0]?.retired));
      assert(
        longest.some(one => one.ip === entry.ip),
        'the reused address is not the longest retired',
      );
    } else {
      assert.equal(entry.ip, null);
      assert.equal(entry.problem?.kind, 'pool-exhausted');
    }
  }
}

/** Returns the names in DNS of each machine's NICs, and the aliases that it does not have, with the reasons. */
function namesOf(host: Host, ...machines: Machine[]): string[] {
  return machines.flatMap(each =>
    host
      .entriesOf(each)
      .map(({ hostname, aliases, refusedAliases }) =>
        [hostname, ...aliases, ...refusedAliases.map(({ alias, reason }) => `${alias}=${reason}`)].join(' '),
      ),
  );
}

reservations(
  'an alias belongs to who claims it first, and is free when its owner gives it up or is gone',
  () => {
    const host = new Host();
    const web = machine(1, 'web', [1, 2], { aliases: ['API', 'www.k8s-br0.internal', '*.apps', '*', 'web'] });
    const db = machine(2, 'db', [3], { aliases: ['api', 'sql', 'web-1', '*.apps'] });
    assert.deepEqual(
      host.define(web).events.map(({ kind }) => kind),
      ['reserved', 'reserved'],
    );
    const { events } = host.define(db);
    assert.deepEqual(
      events.map(event => (event.kind === 'alias-refused' ? event.refused : event.kind)),
      [
        'reserved',
        { alias: 'api', reason: 'taken', holder: { kind: 'machine', machine: 'web' } },
        { alias: 'web-1', reason: 'taken', holder: { kind: 'machine', machine: 'web' } },
      ],
    );
    const initial = ['web api www *.apps *', 'web-1', 'db sql *.apps api=taken web-1=taken'];
    assert.deepEqual(namesOf(host, web, db), initial);
    assert.deepEqual(host.define(db).events, [], 'a refusal is reported once');
    host.define({ ...web, name: 'front' });
    host.define(db);
    assert.deepEqual(namesOf(host, web, db).slice(0, 1), ['front api www *.apps * web'], 'renamed');
    const api = machine(3, 'api', [4]);
    host.define(api);
    assert.match(
      namesOf(host, api)[0] ?? '',
      /^api-[0-9a-f]{6}$/,
      'a later machine of that name is told apart',
    );
    host.define({ ...web, wishes: noWishes });
    assert.equal(host.define(db).events[0]?.kind, 'changed');
    assert.deepEqual(
      namesOf(host, db),
      ['db api sql web-1 *.apps'],
      'web-1 has been free since web was renamed',
    );
    host.undefine(db.uuid);
    const late = machine(4, 'late', [5], { aliases: ['sql'] });
    host.define(late);
    assert.deepEqual(namesOf(host, late), ['late sql']);
  },
);

reservations('aliases in virlan.ini are wishes like those in the metadata, and come before them', () => {
  const host = new Host(['[machine.web]', 'aliases = api, *.apps']);
  const web = machine(1, 'web', [1, 2], { aliases: ['www', 'api'] });
  host.define(web);
  assert.deepEqual(namesOf(host, web), ['web api *.apps www', 'web-1']);
  const other = machine(2, 'Web', [3]);
  host.define(other);
  assert.doesNotMatch(namesOf(host, other)[0] ?? '', / /, 'names of machines are case sensitive');
});

reservations(
  'an alias is never a special name, the name of the host or of a device, or outside of the domain',
  () => {
    const fixed = ['[host.printer]', 'network = k8s-br0', 'mac = 02:00:00:00:00:03', 'ip = 192.168.100.10'];
    const host = new Host(fixed, ['192.168.100.12,scanner']);
    const reasons: [reason: string, ...aliases: string[]][] = [
      ['special', 'localhost', 'WPAD', 'isatap', 'gateway', '_gateway', 'host', 'wpad.k8s-br0.internal'],
      ['host-name', 'sandbox', 'sandbox.k8s-br0.internal'],
      ['fixed', 'printer', 'scanner'],
      ['outside', 'google.com', 'a.web.k8s-br0.internal', 'api.k8s-br0.internal.evil.org', '..'],
      ['invalid', 'a/b', '-a', 'a#b', '24h', '*.', '**', '*a', '*.a.b', 'ä', '$(reboot)', 'x'.repeat(64)],
    ];
    for (const [number, [reason, ...aliases]] of reasons.entries()) {
      const web = machine(number, `web${number}`, [number], { aliases: [...aliases, 'fine'] });
      host.define(web);
      assert.deepEqual(namesOf(host, web), [
        [`web${number}`, ...(number === 0 ? ['fine'] : []), ...aliases.map(alias => `${alias}=${reason}`)]
          .concat(number === 0 ? [] : ['fine=taken'])
          .join(' '),
      ]);
    }
    const many = machine(9, 'many', [9], { aliases: Array.from({ length: 70 }, (_, index) => `a${index}`) });
    host.define(many);
    assert.deepEqual(
      host.entriesOf(many).map(({ aliases, refusedAliases }) => [aliases.length, refusedAliases.length]),
      [[64, 6]],
    );
  },
);

reservations('after any sequence of events on a host, reservations are consistent', () => {
  const byHand = fc.subarray([`${mac(1)},192.168.100.11`, '192.168.100.12', 'web', `${mac(2)},db`]);
  const fixed = fc.constantFrom(
    [],
    ['[host.printer]', 'network = k8s-br0', `mac = ${mac(3)}`, 'ip = 192.168.100.10'],
  );
  const size = fc.integer({ min: 3, max: 8 });
  fc.assert(
    fc.property(
      size,
      byHand,
      fixed,
      fc.array(anyHostEvent, { minLength: 1, maxLength: 40 }),
      (count, lines, hosts, events) => {
        const host = new Host([...poolLines(count), ...hosts], lines);
        host.hostsfile = withReservations(host.hostsfile, host.wantedLines()) ?? host.hostsfile;
        for (const [number, event] of events.entries()) {
          const wanted = applyEvent(host, event, number);
          if (wanted !== null) {
            const moment = event.kind === 'boot' ? 'booting' : 'defined';
            const before = host.ledger;
            const reserved = host.define(wanted, moment);
            assertDecision(host, before, wanted, reserved);
            // One of its NICs may have released what an earlier one could not get.
            const { entries } = reserved;
            if (entries.length > 1 || entries[0]?.problem != null) host.define(wanted, moment);
            const { ledger, hostsfile } = host;
            const again = host.define(wanted, moment);
            assert.deepEqual(
              again.ledger.entries(),
              ledger.entries(),
              'the second decision changed the ledger',
            );
            assert.equal(host.hostsfile, hostsfile);
            assert.deepEqual(again.events, []);
          }
          assertConsistent(host);
        }
      },
    ),
    { numRuns: 600 },
  );
});

reservations('the entry of a NIC says whether libvirt isolates its port', () => {
  const host = new Host();
  const pair = machine(1, 'web', [1, 2]);
  const isolated = (...macs: readonly Mac[]) =>
    host.define({ ...pair, isolated: new Set(macs) }, 'booting').entries.map(each => each.isolated);
  assert.deepEqual(isolated(mac(2)), [false, true]);
  assert.deepEqual(isolated(mac(1)), [true, false]);
  assert.deepEqual(isolated(), [false, false]);
});

reservations.run();
