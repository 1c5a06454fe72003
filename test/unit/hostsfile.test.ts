// hostsfile.test.ts: tests how reservations and lines written by hand share the hostsfile.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import type { Mac } from '../../src/address/mac.ts';
import {
  configuredHosts,
  formatHostsfile,
  type HandLine,
  type Hostsfile,
  handLines,
  parseHostsfile,
  reservationLine,
  withoutMark,
  withProbe,
  withReservation,
  withReservations,
} from '../../src/dnsmasq/hostsfile.ts';
import { reservationOf } from '../../src/identity/decision.ts';
import { Ledger } from '../../src/identity/ledger.ts';
import { noWishes } from '../../src/identity/machine.ts';
import { reserve } from '../../src/identity/reserve.ts';
import { aDate, anyName, ip, mac, network, uuid } from './builders.ts';

const hostsfiles = suite('hostsfile');

function read(text: string): Hostsfile {
  const result = parseHostsfile(text);
  assert(result.ok, text);
  return result.value;
}

/** Returns the reservation of a machine whose MAC, name and, by default, address contain this number. */
function numbered(number: number, at = number) {
  return {
    macs: [mac(number)],
    ip: ip(`10.0.0.${at}`),
    hostname: `vm${number}`,
  };
}

/** A network that these lines are of. */
const lan = network('subnet = 10.0.0.0/24');

function handLine(
  macs: readonly number[],
  address: string | null,
  hostname: string | null = null,
  effect: HandLine['effect'] = 'serves',
): HandLine {
  return {
    macs: macs.map(number => mac(number)),
    ip: address === null ? null : ip(address),
    hostname,
    effect,
  };
}

function line(number: number, at = number) {
  return reservationLine(numbered(number, at));
}

const byHand = [
  '# printers, and   odd spacing kept',
  '',
  '52:54:00:00:00:20,10.0.0.200,printer # by the window',
  '\t52:54:00:00:00:21 , 10.0.0.201',
  'set:red,52:54:00:00:00:22,net:virlan,12h',
  'bücher,10.0.0.203',
  '52:54:00:00:00:23 # virlan has no business here',
];

hostsfiles('a reservation becomes a line with the mark of virlan', () => {
  assert.equal(
    reservationLine({ macs: [mac(1), mac(2)], ip: ip('10.0.0.7'), hostname: 'web' }),
    '52:54:00:00:00:01,52:54:00:00:00:02,id:*,10.0.0.7,web # virlan',
  );
  assert.equal(withoutMark(line(1)), '52:54:00:00:00:01,id:*,10.0.0.1,vm1');
  assert.equal(withoutMark('10.0.0.7,web # a note'), '10.0.0.7,web # a note');
});

hostsfiles('the line of a probe counts as written by hand, and is removed without a trace', () => {
  const before = read(`${byHand.join('\n')}\n${line(1)}\n`);
  const probing = withProbe(before, numbered(9));
  assert(probing !== null);
  assert.equal(probing.byHand.at(-1), '52:54:00:00:00:09,id:*,10.0.0.9,vm9 # virlan-probe');
  assert.deepEqual(read(formatHostsfile(probing)), probing);
  assert.deepEqual(handLines(probing, lan).at(-1), handLine([9], '10.0.0.9', 'vm9'));
  assert.equal(withProbe(probing, numbered(9)), null);
  // There is one such line at most, also after a probe that was killed.
  assert.equal(withProbe(probing, numbered(8))?.byHand.length, byHand.length + 1);
  assert.deepEqual(withProbe(probing, null), before);
  assert.equal(withProbe(before, null), null);
  assert.deepEqual(withReservations(probing, [line(2)]), { ...probing, ours: [line(2)] });
});

hostsfiles('lines written by hand are kept byte for byte and in order, before those of virlan', () => {
  const mixed = [byHand[0], line(1), ...byHand.slice(1, 4), line(2), ...byHand.slice(4)].join('\n');
  const hostsfile = read(`${mixed}\n`);
  assert.deepEqual(hostsfile, { byHand, ours: [line(1), line(2)], configured: [] });
  const text = formatHostsfile(hostsfile);
  assert.equal(text, `${[...byHand, line(1), line(2)].join('\n')}\n`);
  assert.equal(formatHostsfile(read(text)), text);

  const changed = withReservation(hostsfile, [numbered(3)]);
  assert(changed);
  assert.deepEqual(changed.byHand, byHand);
});

hostsfiles('a file without a final line break, and an empty file, are parsed', () => {
  assert.deepEqual(read('a\nb'), { byHand: ['a', 'b'], ours: [], configured: [] });
  assert.deepEqual(read(''), { byHand: [], ours: [], configured: [] });
  assert.equal(formatHostsfile(read('')), '');
  assert.deepEqual(read('\n\na\n').byHand, ['', '', 'a']);
});

hostsfiles('a file with control characters is refused, with the line number', () => {
  for (const damage of ['\0', '\x1b[31m', '\x7f', Buffer.from([0xff, 0xfe]).toString(), '\x0c']) {
    const result = parseHostsfile(`${line(1)}\nx${damage}\n`);
    assert.deepEqual(result, { ok: false, error: 'line 2 holds bytes that are not text' });
  }
  assert(parseHostsfile('tab\tand\r\n').ok);
});

hostsfiles('lines written by hand are parsed into MACs, address and host name', () => {
  const cases: [line: string, ...expected: HandLine[]][] = [
    ['# 52:54:00:00:00:01,10.0.0.7'],
    ['   # comment'],
    [''],
    ['set:x,12h,ignore'],
    ['52:54:00:00:00:01,10.0.0.7', handLine([1], '10.0.0.7')],
    ['52:54:00:00:00:0A,WEB,10.0.0.7,infinite', handLine([10], '10.0.0.7', 'web')],
    [' 52:54:00:00:00:01 , 52:54:00:00:00:02 ,web', handLine([1, 2], null, 'web', 'any-address')],
    ['10.0.0.7 # for 10.0.0.8', handLine([], '10.0.0.7')],
    ['52:54:00:00:00:01,10.0.0.7,Web.lab.example', handLine([1], '10.0.0.7', 'web')],
    ['web,24h', handLine([], null, 'web')],
    ['52:54:00:00:00:01,ignore', handLine([1], null, null, 'ignores')],
    ['id:52:54:00:00:00:01,10.0.0.7', handLine([], '10.0.0.7')],
    ['52:54:00:00:00:01,[fd00::7],10.0.0.7', handLine([1], '10.0.0.7')],
    ['1-52:54:00:00:00:01,10.0.0.7', handLine([1], '10.0.0.7')],
    ['52:54:0:0:0:A,10.0.0.7', handLine([10], '10.0.0.7')],
    ['52:54:00:*:*:*,10.0.0.7', handLine([], '10.0.0.7')],
    ...['10.0.0.0', '10.0.0.1', '10.0.0.255', '10.0.1.7'].flatMap((address): typeof cases => [
      [`52:54:00:00:00:01,${address},web`, handLine([1], address, 'web', 'none')],
      [`web,${address}`, handLine([], address, 'web')],
    ]),
    ['52:54:00:00:00:01,10.0.1.7,ignore', handLine([1], '10.0.1.7', null, 'ignores')],
    ['52:54:00:00:00:01,10.0.0.7\r', handLine([1], '10.0.0.7')],
  ];
  for (const [text, ...expected] of cases)
    assert.deepEqual(handLines({ byHand: [text], ours: [], configured: [] }, lan), expected, text);
});

hostsfiles('reservations in a configuration file of dnsmasq count as lines written by hand', () => {
  const conf =
    '# dhcp-host=a,10.0.0.1\n dhcp-host = 52:54:00:00:00:01,10.0.0.7\ndhcp-hostsfile=/x\ndhcp-host=nas,10.0.0.9 # nas';
  const configured = configuredHosts(conf);
  assert.deepEqual(handLines({ byHand: ['10.0.0.8'], ours: [], configured }, lan), [
    handLine([], '10.0.0.8'),
    handLine([1], '10.0.0.7'),
    handLine([], '10.0.0.9', 'nas'),
  ]);
  // dnsmasq reads virlan's line after these, and takes the last one of a MAC: only an address is a promise.
  const weak = configuredHosts(
    'dhcp-host=52:54:00:00:00:01,12h\ndhcp-host=52:54:00:00:00:03,ignore\ndhcp-host="52:54:00:00:00:02,10.0.0.5"\ndhcp-host=web,12h',
  );
  assert.deepEqual(handLines({ byHand: [], ours: [], configured: weak }, lan), [
    handLine([3], null, null, 'ignores'),
    handLine([2], '10.0.0.5'),
    handLine([], null, 'web'),
  ]);
  const changed = withReservation({ byHand: [], ours: [], configured }, [numbered(3)]);
  assert.equal(formatHostsfile(changed ?? assert.fail()), `${line(3)}\n`);
});

hostsfiles('all lines of virlan are replaced, unless they are correct in any order', () => {
  const hostsfile = read(`${byHand.join('\n')}\n${line(1)}\n${line(2)}\n`);
  assert.equal(withReservations(hostsfile, [line(2), line(1)]), null);
  for (const lines of [[line(1)], [line(1), line(3)], [line(1), line(2), line(3)], []]) {
    const changed = withReservations(hostsfile, lines);
    assert.deepEqual(changed, { byHand, ours: lines, configured: [] });
    assert.equal(changed && withReservations(changed, lines), null);
  }
  const twice = read(`${line(1)}\n${line(1)}\n`);
  assert.deepEqual(withReservations(twice, [line(1)])?.ours, [line(1)]);
});

hostsfiles("one machine's lines replace those with its MACs or addresses", () => {
  const hostsfile = read([line(1), line(2), line(3), line(10), ''].join('\n'));
  const after = (...reservations: Parameters<typeof withReservation>[1]) =>
    withReservation(hostsfile, reservations)?.ours ?? null;
  assert.equal(after(numbered(2)), null);
  assert.equal(after(), null);
  assert.deepEqual(after(numbered(4), numbered(4))?.slice(4), [line(4)], 'a duplicate reservation');
  assert.deepEqual(after(numbered(4)), [line(1), line(2), line(3), line(10), line(4)]);
  assert.deepEqual(after(numbered(2, 9)), [line(1), line(3), line(10), line(2, 9)], 'a changed address');
  assert.deepEqual(
    after(numbered(4, 2)),
    [line(1), line(3), line(10), line(4, 2)],
    'an address that another machine had',
  );
  assert.deepEqual(
    after(numbered(1, 2)),
    [line(3), line(10), line(1, 2)],
    'an address of another machine, replacing an own one',
  );
  const moved = { ...numbered(4), macs: [mac(4), mac(3)] };
  assert.deepEqual(after(moved), [line(1), line(2), line(10), reservationLine(moved)], 'a second MAC');
});

hostsfiles('adding a reservation twice changes nothing the second time', () => {
  const reservation = fc
    .tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 6 }))
    .map(([a, b]) => numbered(a, b));
  fc.assert(
    fc.property(fc.array(reservation, { maxLength: 6 }), reservation, (before, wanted) => {
      const hostsfile = read(before.map(one => `${reservationLine(one)}\n`).join(''));
      const once = withReservation(hostsfile, [wanted]) ?? hostsfile;
      assert.equal(withReservation(once, [wanted]), null);
      assert.deepEqual(read(formatHostsfile(once)), once);
      const wantedLine = reservationLine(wanted);
      for (const other of once.ours.filter(text => text !== wantedLine)) {
        assert(!other.includes(`${wanted.macs[0]},`) && !other.includes(`,10.0.0.${wanted.ip & 0xff},`));
      }
    }),
  );
});

hostsfiles('the line of a machine with any name contains MACs, an address and a label', () => {
  const lan = network();
  fc.assert(
    fc.property(
      fc.array(anyName, { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 3 }),
      (names, nics) => {
        let ledger = Ledger.empty;
        const lines = names.flatMap((name, number) => {
          const macs = Array.from({ length: nics }, (_, nic) => mac(number * 16 + nic));
          const machine = { name, uuid: uuid(number), macs, isolated: new Set<Mac>(), wishes: noWishes };
          const context = {
            network: lan,
            byHand: [],
            leases: () => [],
            answered: new Set<never>(),
            ownBlocks: () => [],
            isKnown: () => true,
            isRunning: () => false,
            hostName: 'sandbox',
            hostMacs: [],
            now: aDate,
          };
          const reserved = reserve(ledger, machine, 'booting', context);
          ledger = reserved.ledger;
          return reserved.entries.flatMap(one => reservationOf(one, []) ?? []).map(reservationLine);
        });
        assert.equal(lines.length, names.length * nics);
        for (const text of lines) {
          assert.match(
            text,
            /^52:54:00:00:00:[0-9a-f]{2},id:\*,192\.168\.100\.\d{1,3},[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])? # virlan$/,
          );
        }
        assert.deepEqual(read(lines.map(text => `${text}\n`).join('')), {
          byHand: [],
          ours: lines,
          configured: [],
        });
      },
    ),
    { numRuns: 300 },
  );
});

hostsfiles.run();
