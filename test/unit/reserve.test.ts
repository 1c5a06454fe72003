import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { formatIp, type Ipv4, ipv4After } from '../../src/address/ip.ts';
import type { Mac } from '../../src/address/mac.ts';
import type { NetworkConfig } from '../../src/config/config.ts';
import {
  type Hostsfile,
  handLines,
  parseHostsfile,
  reservationLine,
  withReservations,
} from '../../src/dnsmasq/hostsfile.ts';
import type { Lease } from '../../src/dnsmasq/leases.ts';
import { chooseProbeAddress, decide, wantedReservations } from '../../src/identity/decision.ts';
import { Ledger } from '../../src/identity/ledger.ts';
import type { LedgerEntry } from '../../src/identity/ledger-format.ts';
import {
  type Machine,
  machineNamespace,
  machineOn,
  noWishes,
  type Wishes,
} from '../../src/identity/machine.ts';
import { problemText } from '../../src/identity/problem-text.ts';
import { type Reserved, reserve } from '../../src/identity/reserve.ts';
import { trailJson, trailText } from '../../src/report/trail-text.ts';
import { excerpt } from '../../src/text.ts';
import { aDate, ip, mac, network, uuid } from './builders.ts';

const reservations = suite('reserve');

const hour = 3_600_000;

/** A host as far as reservations go: its machines, its files, and the time. */
class Host {
  ledger = Ledger.empty;
  hostsfile: Hostsfile;
  leases: Lease[] = [];
  now = new Date(aDate.getTime() + 123);
  /** By uuid; those libvirt knows. */
  readonly machines = new Map<string, Machine>();
  readonly network: NetworkConfig;

  constructor(config: readonly string[] = [], byHand: readonly string[] = []) {
    this.network = network(...config);
    const parsed = parseHostsfile(byHand.map(line => `${line}\n`).join(''));
    assert(parsed.ok);
    this.hostsfile = parsed.value;
  }

  get byHand() {
    return handLines(this.hostsfile);
  }

  /** What the ledger holds of machines that are there. */
  live(): LedgerEntry[] {
    return this.ledger.entries().filter(entry => entry.retired === null);
  }

  of(machine: Pick<Machine, 'uuid'>): LedgerEntry[] {
    return this.ledger.ofMachine(this.network.name, machine.uuid);
  }

  define(machine: Machine, moment: 'booting' | 'defined' = 'defined'): Reserved {
    this.machines.set(machine.uuid, machine);
    const { reserved, hostsfile } = decide(this.network, machine, moment, this.reading(), this.now);
    this.ledger = reserved.ledger;
    this.hostsfile = hostsfile ?? this.hostsfile;
    return reserved;
  }

  reading() {
    return {
      ledger: this.ledger,
      hostsfile: this.hostsfile,
      leases: () => this.leases,
      isKnown: (id: string) => this.machines.has(id),
    };
  }

  undefine(id: string): void {
    this.machines.delete(id);
    for (const entry of this.of({ uuid: id }))
      this.ledger = this.ledger.replace(entry, { ...entry, retired: this.now });
    this.hostsfile = withReservations(this.hostsfile, this.wantedLines()) ?? this.hostsfile;
  }

  wantedLines(): string[] {
    return wantedReservations(this.network, this.ledger, this.hostsfile);
  }

  pass(milliseconds: number): void {
    this.now = new Date(this.now.getTime() + milliseconds);
  }
}

function tiny(size: number) {
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
  return { name, uuid: uuid(number), macs: own, wishes: { ...noWishes, ...wishes } };
}

function textOf(entry: LedgerEntry | undefined): string {
  return entry === undefined || entry.problem === null ? '' : problemText(entry.problem);
}

reservations('a machine gets its address by the formula, and has it from then on', () => {
  const host = new Host();
  const [first] = host.define(machine(1, 'web', [1])).entries;
  assert.equal(first?.ip, at(155), 'see the examples in docs/identity.md');
  assert.deepEqual(
    [first?.hostname, first?.nic, first?.booted, first?.retired, first?.problem],
    ['web', 0, false, null, null],
  );
  host.pass(30 * 24 * hour);
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
    'it has booted for ever',
  );
});

reservations('the time it was last seen is worth a write once an hour', () => {
  const host = new Host();
  host.define(machine(1, 'web', [1]));
  const before = host.ledger.bytes.toString();
  host.pass(hour - 2000);
  host.define(machine(1, 'web', [1]));
  assert.equal(host.ledger.bytes.toString(), before);
  host.pass(3000);
  host.define(machine(1, 'web', [1]));
  assert.notEqual(host.ledger.bytes.toString(), before);
});

reservations('what is told of a decision', () => {
  const host = new Host(tiny(1));
  const told = (reserved: Reserved) => reserved.events.map(({ kind }) => kind);
  assert.deepEqual(told(host.define(machine(1, 'web', [1]))), ['reserved']);
  assert.deepEqual(told(host.define(machine(1, 'web', [1]))), []);
  assert.deepEqual(told(host.define(machine(1, 'www', [1]))), ['changed']);
  assert.deepEqual(told(host.define(machine(1, 'www', [2]))), ['changed']);
  assert.deepEqual(told(host.define(machine(2, 'db', [3]))), ['reserved', 'problem']);
  assert.deepEqual(told(host.define(machine(2, 'db', [3]))), [], 'the same problem is told once');
});

reservations('a machine that is renamed keeps MAC and address, and is called by its new name', () => {
  const host = new Host();
  const [before] = host.define(machine(1, 'web', [1])).entries;
  const [after] = host.define(machine(1, 'shop', [1])).entries;
  assert.deepEqual(
    [after?.ip, after?.macs, after?.name, after?.hostname],
    [before?.ip, before?.macs, 'shop', 'shop'],
  );
  assert.deepEqual(host.hostsfile.ours, [reservationLine({ macs: [mac(1)], ip: at(155), hostname: 'shop' })]);
});

reservations(
  'a NIC that is not plugged in when its machine is renamed is called by the new name, too',
  () => {
    const host = new Host();
    const [, second] = host.define(machine(1, 'web', [1, 2])).entries;
    host.define(machine(1, 'web', [1]));
    host.define(machine(1, 'shop', [1]));
    const [, after] = host.of(machine(1, 'shop', []));
    assert.deepEqual([after?.name, after?.hostname, after?.ip], ['shop', 'shop-1', second?.ip]);
    assert(second?.ip);
    const lines = [
      { macs: [mac(1)], ip: at(155), hostname: 'shop' },
      { macs: [mac(2)], ip: second.ip, hostname: 'shop-1' },
    ];
    assert.deepEqual([...host.hostsfile.ours].sort(), lines.map(reservationLine).sort());
  },
);

reservations('taking out NIC 0 moves nothing, and a new one in its place gets its address back', () => {
  const host = new Host();
  const [first, second] = host.define(machine(1, 'web', [1, 2])).entries;
  assert.deepEqual(host.define(machine(1, 'web', [2])).entries, [second]);
  const [replaced, kept] = host.define(machine(1, 'web', [3, 2])).entries;
  assert.deepEqual([replaced?.ip, replaced?.macs], [first?.ip, [mac(3), mac(1)]]);
  assert.deepEqual(kept, second);
});

reservations(
  'a NIC keeps its earlier MACs, the latest four in all, for the snapshot that brings one back',
  () => {
    const host = new Host();
    for (const number of [1, 2, 3, 4, 5, 2]) host.define(machine(1, 'web', [number]));
    assert.deepEqual(host.of(machine(1, 'web', []))[0]?.macs, [2, 5, 4, 3].map(mac));
    assert.deepEqual(host.hostsfile.ours, [
      reservationLine({ macs: [2, 5, 4, 3].map(mac), ip: at(155), hostname: 'web' }),
    ]);
  },
);

reservations('an earlier MAC of one NIC that a new NIC takes is that one’s', () => {
  const host = new Host();
  host.define(machine(1, 'web', [1]));
  const [first] = host.define(machine(1, 'web', [2])).entries;
  const [kept, added] = host.define(machine(1, 'web', [2, 1])).entries;
  assert.deepEqual(kept, { ...first, macs: [mac(2)] });
  assert.deepEqual([added?.macs, added?.hostname], [[mac(1)], 'web-1']);
  assert.notEqual(added?.ip, kept?.ip);
  assert.deepEqual(host.define(machine(1, 'web', [2, 1])).entries, [kept, added]);
});

reservations('a NIC is known by the MAC it has before one that it had', () => {
  const host = new Host();
  host.define(machine(1, 'web', [1]));
  const [first] = host.define(machine(1, 'web', [2])).entries;
  const [added, kept] = host.define(machine(1, 'web', [1, 2])).entries;
  assert.equal(kept?.ip, first?.ip);
  assert.deepEqual([added?.macs, kept?.macs], [[mac(1)], [mac(2)]]);
});

reservations('a NIC that comes back has its address, though another has its name by now', () => {
  const host = new Host();
  const [, second] = host.define(machine(1, 'web', [1, 2])).entries;
  host.undefine(uuid(1));
  host.define(machine(1, 'web', [1]));
  const [first] = host.define(machine(1, 'web-1', [1])).entries;
  assert.equal(first?.hostname, second?.hostname);
  const ips = host.define(machine(1, 'web-1', [1, 2])).entries.map(entry => entry.ip);
  assert.deepEqual(ips, [first?.ip, second?.ip]);
});

reservations('NICs that swap MACs swap addresses with them', () => {
  const host = new Host();
  const [first, second] = host.define(machine(1, 'web', [1, 2])).entries;
  assert.deepEqual(host.define(machine(1, 'web', [2, 1])).entries, [second, first]);
});

reservations(
  'two machines with one MAC: the first keeps it, the second is told, and gets it when the first lets go',
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
    assert.deepEqual(host.of(machine(1, '', []))[0]?.macs, [mac(3)]);
    assert.equal(
      host.hostsfile.ours.length,
      2,
      'the first, which lost an earlier MAC, is still reserved for',
    );
  },
);

reservations(
  'two NICs of one machine with one MAC: the first keeps it, also of a machine that libvirt does not list yet',
  () => {
    const host = new Host();
    const twice = machine(1, 'web', [1, 1]);
    const context = {
      network: host.network,
      byHand: [],
      leases: () => [],
      isKnown: () => false,
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
    assert.equal(host.define(twice).ledger.bytes.toString(), ledger.bytes.toString());
  },
);

reservations('a MAC that comes back to its first owner is no longer reserved for the second', () => {
  const host = new Host();
  host.define(machine(1, 'web', [1]));
  host.define(machine(2, 'db', [1]));
  const [db] = host.define(machine(2, 'db', [2])).entries;
  assert.deepEqual(db?.macs, [mac(2)], 'it never was');
  assert.equal(host.hostsfile.ours.filter(line => line.includes(mac(1))).length, 1);
});

reservations('a machine that was undefined leaves its place to the next of its name', () => {
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
    assert.deepEqual(host.of(machine(1, '', [])), []);
  }
});

reservations('a second machine of a name inherits nothing from one that is there', () => {
  const host = new Host();
  const [first] = host.define(machine(1, 'web', [1])).entries;
  const [second] = host.define(machine(2, 'web', [2])).entries;
  assert.notEqual(second?.ip, first?.ip);
  assert.match(second?.hostname ?? '', /^web-[0-9a-f]{6}$/);
});

reservations('when the pool is used up, the longest retired gives way, and never one that is there', () => {
  const host = new Host(tiny(3));
  for (const number of [1, 2, 3]) host.define(machine(number, `vm${number}`, [number]));
  const ipOf = (number: number) => host.of(machine(number, '', []))[0]?.ip;
  for (const number of [2, 3]) {
    host.pass(hour);
    host.undefine(uuid(number));
  }
  const [oldest, second, first] = [ipOf(2), ipOf(3), ipOf(1)];
  assert.equal(host.define(machine(4, 'vm4', [4])).entries[0]?.ip, oldest);
  assert.equal(ipOf(2), null);
  assert.equal(host.define(machine(5, 'vm5', [5])).entries[0]?.ip, second);
  const [none] = host.define(machine(6, 'vm6', [6])).entries;
  assert.deepEqual([none?.ip, none?.problem], [null, { kind: 'pool-exhausted' }]);
  assert.equal(ipOf(1), first);
  assert(!host.hostsfile.ours.some(line => line.includes(mac(6))));
  host.undefine(uuid(1));
  assert.equal(host.define(machine(6, 'vm6', [6])).entries[0]?.ip, first, 'as soon as there is one');
});

reservations('an address that is leased to another MAC is not given', () => {
  const lease = (number: number, lastByte: number, expires: number): Lease => ({
    mac: mac(number),
    ip: at(lastByte),
    hostname: null,
    clientId: null,
    expires,
  });
  const soon = aDate.getTime() / 1000 + 60;
  const cases: [lease: Lease, expected: number][] = [
    [lease(9, 155, soon), 156],
    [lease(9, 155, 0), 156],
    [lease(9, 155, soon - 120), 155],
    [lease(1, 155, soon), 155],
  ];
  for (const [held, expected] of cases) {
    const host = new Host();
    host.leases = [held];
    assert.equal(host.define(machine(1, 'web', [1])).entries[0]?.ip, at(expected), JSON.stringify(held));
    host.leases = [lease(9, expected, 0)];
    assert.equal(host.define(machine(1, 'web', [1])).entries[0]?.ip, at(expected), 'what was given stays');
  }
  const full = new Host(tiny(1));
  full.leases = [lease(9, 10, 0)];
  full.define(machine(1, 'gone', [1]));
  full.undefine(uuid(1));
  assert.equal(full.define(machine(2, 'web', [2])).entries[0]?.ip, null, 'nor taken from the retired');
});

reservations('lines written by hand go before all', () => {
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
  entriesOf(3, 'three', [4]);
  assert.deepEqual(
    host.hostsfile.ours.map(line => line.slice(0, 17)),
    [mac(2)],
    'a MAC that is spoken for has no second line',
  );
  const [left] = entriesOf(1, 'left', [1]);
  assert.equal(left?.hostname, 'left', 'the name in its own line');
});

reservations('a line written later moves the machine it names, and who had that address', () => {
  const host = new Host();
  host.define(machine(1, 'web', [1]));
  host.define(machine(2, 'db', [2]));
  host.hostsfile = { ...host.hostsfile, byHand: [`${mac(2)},192.168.100.155`] };
  assert.equal(host.define(machine(2, 'db', [2])).entries[0]?.ip, at(155));
  assert.equal(host.define(machine(1, 'web', [1])).entries[0]?.ip, at(156));
});

reservations('a line for two NICs of one machine does not upset it', () => {
  const host = new Host([], [`${mac(1)},${mac(2)},192.168.100.50`]);
  for (let times = 0; times < 3; times++) {
    const ips = host.define(machine(1, 'laptop', [1, 2])).entries.map(entry => entry.ip);
    assert.deepEqual(
      ips.filter(one => one !== null),
      [at(50)],
    );
  }
});

reservations('a fixed host has its address, its MAC and its name for itself', () => {
  const fixed = ['[host.printer]', 'network = k8s-br0', `mac = ${mac(9)}`, 'ip = 192.168.100.11'];
  const host = new Host([...tiny(3), ...fixed]);
  host.hostsfile = withReservations(host.hostsfile, host.wantedLines()) ?? host.hostsfile;
  const given = [1, 2, 3].map(
    number => host.define(machine(number, `vm${number}`, [number])).entries[0]?.ip ?? null,
  );
  assert.deepEqual(new Set(given), new Set([at(10), at(12), null]));
  const [itself] = host.define(machine(4, 'printer', [9])).entries;
  assert.deepEqual([itself?.ip, itself?.hostname], [at(11), 'printer']);
  assert.match(host.define(machine(5, 'printer', [5])).entries[0]?.hostname ?? '', /^printer-/);
  const line = reservationLine({ macs: [mac(9)], ip: at(11), hostname: 'printer' });
  assert(host.hostsfile.ours.includes(line), 'a machine with its MAC changes nothing of its line');
  host.define(machine(1, 'vm1', [9]));
  host.define(machine(1, 'vm1', [1]));
  assert.deepEqual(
    host.wantedLines().filter(text => text.includes(mac(9))),
    [line],
  );
});

reservations('what metadata asks for', () => {
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
    assert.deepEqual([second?.ip, second?.hostname], [at(152), 'web-1'], 'a wish is for the first NIC');
    assert.deepEqual(second?.problem, wishes.problems?.[0] ?? null);
  }
});

reservations('a wish comes true later, and is forgotten without moving the machine', () => {
  const host = new Host();
  host.define(machine(1, 'web', [1]));
  host.define(machine(1, 'web', [1], { ip: at(50), hostname: 'shop' }));
  assert.deepEqual(host.hostsfile.ours, [reservationLine({ macs: [mac(1)], ip: at(50), hostname: 'shop' })]);
  assert.equal(host.define(machine(1, 'web', [1])).entries[0]?.ip, at(50));
});

reservations('a wish for what a machine that is gone had', () => {
  const host = new Host();
  host.define(machine(1, 'web', [1, 2]));
  host.undefine(uuid(1));
  const [first, second] = host.define(machine(2, 'web', [3, 4], { ip: at(152), hostname: 'web-1' })).entries;
  assert.deepEqual([first?.ip, first?.hostname], [at(152), 'web-1']);
  assert(second?.ip !== null && second?.ip !== at(152) && second?.hostname !== 'web-1');
});

reservations('wishes as they stand in the definition', () => {
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
    hostname: 'web',
    problems: [],
  });
  assert.deepEqual(wishesOf({ other: 'x' }), noWishes);
  for (const [key, value] of [
    ['mac', 'assign'],
    ['ip', '10.0.0'],
    ['ip', ''],
    ['hostname', 'a.b'],
    ['hostname', '24h'],
    ['hostname', 'Web'],
  ] as const) {
    const { problems, ...wishes } = wishesOf({ [key]: value });
    assert.deepEqual(wishes, { keepsMac: false, ip: null, hostname: null });
    assert.deepEqual(problems, [{ kind: 'metadata-invalid', attribute: key }]);
  }
});

reservations('which NICs are on a network', () => {
  const nic = (number: number, bridge: string | null, on: string | null) => ({
    mac: mac(number),
    bridge,
    network: on,
    tap: null,
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

reservations('a hostile name in a message', () => {
  assert.equal(excerpt('a\nb\u001b[31m\u202e', 40), 'a?b?[31m?');
  assert.equal(excerpt('x'.repeat(41), 40).length, 40);
});

reservations('each decision says why', () => {
  /** The reasons for a machine's first NIC, without what was passed over. */
  const reasons = ({ why }: Reserved, nic = 0) =>
    why[nic]?.map(step =>
      step.kind === 'claim' ? `claim: ${step.outcome}` : `${step.kind}: ${step.reason}`,
    );
  const host = new Host([
    ...tiny(3),
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
  assert.deepEqual(reasons(host.define(machine(4, 'web', [4])))?.[0], 'entry: name');
  assert.deepEqual(reasons(host.define(machine(5, 'printer', [9])))?.at(-1), 'address: fixed-host');
  const wish = machine(6, 'wish', [6], { ip: at(50), hostname: 'shop' });
  assert.deepEqual(reasons(host.define(wish))?.slice(1), ['hostname: metadata', 'address: metadata']);
  host.hostsfile = { ...host.hostsfile, byHand: [`${mac(7)},192.168.100.60`] };
  assert.deepEqual(reasons(host.define(machine(7, 'hand', [7])))?.at(-1), 'address: hostsfile');
});

reservations('an address that is not the formula’s says which ones were passed over', () => {
  const host = new Host([], ['192.168.100.156']);
  host.leases = [{ mac: mac(8), ip: at(155), hostname: null, clientId: null, expires: 0 }];
  const { why } = host.define(machine(1, 'web', [1]));
  const step = why[0]?.at(-1);
  assert(step?.kind === 'address');
  assert.equal(step.reason, 'next-free');
  const skipped = step.skipped.map(({ address, reason }) => `${formatIp(address)} ${reason}`);
  assert.deepEqual(skipped, ['192.168.100.155 leased', '192.168.100.156 fixed']);
  assert.equal(
    trailText(step),
    "address 192.168.100.157: the first free one after the formula's; 192.168.100.155 is not free (leased to another MAC); 192.168.100.156 is not free (a [host.…] section or a line written by hand has it)",
  );
  const [first] = Object.entries(JSON.parse(JSON.stringify(trailJson(step)))).filter(
    ([key]) => key === 'address',
  );
  assert.deepEqual(first, ['address', '192.168.100.157']);
});

reservations('a trail lists a few of the addresses passed over, and counts all', () => {
  const host = new Host(tiny(20));
  for (let number = 1; number <= 20; number++) host.define(machine(number, `vm${number}`, [number]));
  const step = host.define(machine(21, 'last', [21])).why[0]?.at(-1);
  assert(step?.kind === 'address' && step.reason === 'none');
  assert.deepEqual([step.skipped.length, step.skippedCount], [8, 20]);
  assert.match(trailText(step), /^no address: dhcp-range is used up; .*; 12 more are not free$/);
});

reservations('a probe gets the last free address, and never the last of all', () => {
  const probeAddress = (host: Host) => chooseProbeAddress(host.network, mac(99), host.reading(), host.now);
  const host = new Host(tiny(3), ['192.168.100.12']);
  assert.equal(probeAddress(host), at(11));
  host.leases = [{ mac: mac(8), ip: at(11), hostname: null, clientId: null, expires: 0 }];
  assert.equal(probeAddress(host), null, 'the one that is left is for a machine');
  host.leases = [{ mac: mac(99), ip: at(11), hostname: null, clientId: null, expires: 0 }];
  assert.equal(probeAddress(host), at(11), 'its own lease is no obstacle');
  host.define(machine(1, 'web', [1]));
  assert.equal(probeAddress(host), null);
});

/** Something that happens on a host. */
type Happening =
  | { readonly what: 'define'; readonly name: string; readonly macs: readonly number[] }
  | { readonly what: 'rename'; readonly of: number; readonly name: string }
  | { readonly what: 'remove NIC'; readonly of: number; readonly nic: number }
  | { readonly what: 'add NIC'; readonly of: number; readonly nic: number; readonly mac: number }
  | { readonly what: 'set MAC'; readonly of: number; readonly nic: number; readonly mac: number }
  | {
      readonly what: 'wish';
      readonly of: number;
      readonly ip: number | null;
      readonly hostname: string | null;
    }
  | { readonly what: 'boot'; readonly of: number }
  | { readonly what: 'undefine'; readonly of: number; readonly isSeen: boolean }
  | { readonly what: 'lease'; readonly mac: number; readonly ip: number; readonly minutes: number }
  | { readonly what: 'wait'; readonly minutes: number };

// Few names, MACs and addresses, so that they meet.
const someName = fc.constantFrom('web', 'Web', 'db', 'x,y', '7');
const someMac = fc.integer({ min: 1, max: 8 });
const someMachine = fc.nat(5);
const someNic = fc.nat(2);
const someByte = fc.integer({ min: 8, max: 18 });

const happening: fc.Arbitrary<Happening> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      what: fc.constant('define' as const),
      name: someName,
      macs: fc.array(someMac, { maxLength: 3 }),
    }),
  },
  fc.record({ what: fc.constant('rename' as const), of: someMachine, name: someName }),
  fc.record({ what: fc.constant('remove NIC' as const), of: someMachine, nic: someNic }),
  fc.record({ what: fc.constant('add NIC' as const), of: someMachine, nic: someNic, mac: someMac }),
  {
    weight: 2,
    arbitrary: fc.record({
      what: fc.constant('set MAC' as const),
      of: someMachine,
      nic: someNic,
      mac: someMac,
    }),
  },
  fc.record({
    what: fc.constant('wish' as const),
    of: someMachine,
    ip: fc.option(someByte),
    hostname: fc.option(fc.constantFrom('web', 'db', 'left')),
  }),
  fc.record({ what: fc.constant('boot' as const), of: someMachine }),
  {
    weight: 2,
    arbitrary: fc.record({ what: fc.constant('undefine' as const), of: someMachine, isSeen: fc.boolean() }),
  },
  fc.record({ what: fc.constant('lease' as const), mac: someMac, ip: someByte, minutes: fc.nat(100) }),
  fc.record({ what: fc.constant('wait' as const), minutes: fc.nat(100) }),
);

/** What becomes of a machine: null for one that is gone, undefined where nothing is to be reserved. */
function happen(host: Host, event: Happening, number: number): Machine | null {
  if (event.what === 'define') return machine(number, event.name, event.macs);
  if (event.what === 'wait') host.pass(event.minutes * 60_000);
  if (event.what === 'lease') {
    const expires = event.minutes === 0 ? 0 : Math.floor(host.now.getTime() / 1000) + event.minutes * 60;
    host.leases = [
      ...host.leases,
      { mac: mac(event.mac), ip: at(event.ip), hostname: null, clientId: null, expires },
    ];
  }
  if (!('of' in event) || host.machines.size === 0) return null;
  const there = [...host.machines.values()];
  const meant = there[event.of % there.length];
  assert(meant);
  switch (event.what) {
    case 'rename':
      return { ...meant, name: event.name };
    case 'remove NIC':
      return { ...meant, macs: meant.macs.toSpliced(event.nic, 1) };
    case 'add NIC':
      return { ...meant, macs: meant.macs.toSpliced(event.nic, 0, mac(event.mac)) };
    case 'set MAC':
      return { ...meant, macs: meant.macs.map((own, nic) => (nic === event.nic ? mac(event.mac) : own)) };
    case 'wish':
      return {
        ...meant,
        wishes: { ...noWishes, ip: event.ip === null ? null : at(event.ip), hostname: event.hostname },
      };
    case 'undefine':
      if (event.isSeen) host.undefine(meant.uuid);
      else host.machines.delete(meant.uuid);
      return null;
    case 'boot':
      return meant;
  }
}

function assertDistinct(values: readonly unknown[], what: string): void {
  assert.equal(new Set(values).size, values.length, `${what} twice: ${values.join(' ')}`);
}

/** What is true of the ledger and the hostsfile at any time. */
function assertSound(host: Host): void {
  const entries = host.ledger.entries();
  const live = host.live();
  assertDistinct(
    entries.flatMap(entry => entry.ip ?? []),
    'an address',
  );
  assertDistinct(
    live.flatMap(entry => (entry.ip === null ? [] : (entry.macs[0] ?? []))),
    'a current MAC with an address',
  );
  assertDistinct(
    live.map(entry => entry.hostname),
    'a host name',
  );
  for (const entry of live.filter(one => host.machines.has(one.uuid))) {
    const fixed = host.network.hosts.find(one => one.ip === entry.ip);
    assert(fixed === undefined || fixed.mac === entry.macs[0], "a fixed host's address");
    if (entry.ip === null) assert(['mac-taken', 'pool-exhausted'].includes(entry.problem?.kind ?? ''));
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
      'a MAC in the hostsfile',
    );
    assertDistinct(
      lines.map(line => /192\.168\.100\.\d+/.exec(line)?.[0]),
      'an address in the hostsfile',
    );
  }
}

/** What is true of one decision, by what was there before it. */
function assertFair(host: Host, before: Ledger, wanted: Machine, { entries }: Reserved): void {
  const { network: lan, byHand } = host;
  const was = before.entries();
  const isPromised = (one: Ipv4) =>
    lan.hosts.some(fixed => fixed.ip === one) || byHand.some(line => line.ip === one);
  const isFixed = (own: Mac) =>
    lan.hosts.some(fixed => fixed.mac === own) || byHand.some(line => line.macs.includes(own));
  const isLeased = (one: Ipv4, own: Mac) =>
    host.leases.some(
      lease =>
        lease.ip === one &&
        lease.mac !== own &&
        (lease.expires === 0 || lease.expires * 1000 > host.now.getTime()),
    );

  assert.equal(entries.length, wanted.macs.length);
  for (const [nic, entry] of entries.entries()) {
    assert.equal(entry.macs[0], wanted.macs[nic]);
    assert.equal(entry.retired, null);
    assert(
      host.of(wanted).some(one => one.macs[0] === entry.macs[0] && one.ip === entry.ip),
      'what is returned is in the ledger',
    );
  }
  for (const other of was.filter(
    one => one.uuid !== wanted.uuid && one.retired === null && host.machines.has(one.uuid),
  )) {
    const now = host.of(other).find(one => one.nic === other.nic && one.hostname === other.hostname);
    assert.equal(now?.ip, other.ip, `${other.name} lost its address to ${wanted.name}`);
    assert.equal(now?.macs[0], other.macs[0]);
  }

  const own = was.filter(one => one.uuid === wanted.uuid);
  const isPlain =
    wanted.wishes.ip === null &&
    new Set(wanted.macs).size === wanted.macs.length &&
    !wanted.macs.some(isFixed);
  if (!isPlain) return;
  for (const [nic, entry] of entries.entries()) {
    const current = wanted.macs[nic] as Mac;
    const isClash = was.some(
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
    if (same?.ip != null && !isPromised(same.ip)) assert.equal(entry.ip, same.ip, 'an address moved');
    const predecessors =
      own.length > 0
        ? []
        : was.filter(
            one =>
              one.name === wanted.name &&
              one.nic === nic &&
              (one.retired !== null || !host.machines.has(one.uuid)),
          );
    const inherited = predecessors[0]?.ip;
    if (inherited != null && !isPromised(inherited)) {
      // Where the pool is used up, another NIC of the machine itself may have it.
      assert(
        entries.some(one => one.ip === inherited),
        'a name did not get its address back',
      );
    }
    if (own.length > 0 || predecessors.length > 0 || wanted.macs.length > 1) continue;

    // A machine never seen before, with one NIC.
    const pool = Array.from({ length: lan.range.last - lan.range.first + 1 }, (_, place) =>
      ipv4After(lan.range.first, place),
    );
    const given = was.map(one => one.ip);
    const free = pool.filter(one => !given.includes(one) && !isPromised(one) && !isLeased(one, current));
    const retired = was
      .filter(
        one => one.ip !== null && one.retired !== null && !isPromised(one.ip) && !isLeased(one.ip, current),
      )
      .sort((a, b) => Number(a.retired) - Number(b.retired));
    if (free.length > 0) assert(free.includes(entry.ip as Ipv4), 'a free address was there and not given');
    else if (retired.length > 0) {
      const longest = retired.filter(one => Number(one.retired) === Number(retired[0]?.retired));
      assert(
        longest.some(one => one.ip === entry.ip),
        'not the longest retired',
      );
    } else {
      assert.equal(entry.ip, null);
      assert.equal(entry.problem?.kind, 'pool-exhausted');
    }
  }
}

reservations('whatever happens to machines on a host, reservations stay sound', () => {
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
      fc.array(happening, { minLength: 1, maxLength: 40 }),
      (count, lines, hosts, happenings) => {
        const host = new Host([...tiny(count), ...hosts], lines);
        host.hostsfile = withReservations(host.hostsfile, host.wantedLines()) ?? host.hostsfile;
        for (const [number, event] of happenings.entries()) {
          const wanted = happen(host, event, number);
          if (wanted !== null) {
            const moment = event.what === 'boot' ? 'booting' : 'defined';
            const before = host.ledger;
            const reserved = host.define(wanted, moment);
            assertFair(host, before, wanted, reserved);
            // What one of its NICs let go of may be what an earlier one could not have.
            if (reserved.entries.some(one => one.problem !== null)) host.define(wanted, moment);
            const { ledger, hostsfile } = host;
            const again = host.define(wanted, moment);
            assert.equal(again.ledger.bytes.toString(), ledger.bytes.toString(), 'twice is not as once');
            assert.equal(host.hostsfile, hostsfile);
            assert.deepEqual(again.events, []);
          }
          assertSound(host);
        }
      },
    ),
    { numRuns: 600 },
  );
});

reservations.run();
