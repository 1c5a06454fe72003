// names.test.ts: tests the lines of the file of names.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { type NamedAddress, nameLines, withNames } from '../../src/dnsmasq/names.ts';
import { ip } from './builders.ts';

const names = suite('names');

function named(address: string, ...own: string[]): NamedAddress {
  return { ip: ip(address), names: own };
}

names(
  'a name has one address: the first one that is named, and those of virlan before those of libvirt',
  () => {
    const own = [
      named('10.0.0.1', 'gateway'),
      named('10.0.0.2', 'web', 'api'),
      named('10.0.0.3', 'db', 'api'),
    ];
    const libvirt = [named('10.0.0.9', 'web', 'registry'), named('10.0.0.8', 'db'), named('10.0.0.2', 'www')];
    assert.deepEqual(nameLines(own, libvirt), [
      '10.0.0.1 gateway',
      '10.0.0.2 web api',
      '10.0.0.3 db',
      '10.0.0.9 registry # libvirt',
      '10.0.0.2 www # libvirt',
    ]);
  },
);

names('a change replaces the lines of its addresses only, and is none if the file has it already', () => {
  const text =
    '10.0.0.1 gateway\n10.0.0.2 web\n10.0.0.22 web2\n10.0.0.9 api # libvirt\n10.0.0.9 db x # libvirt\n';
  const web = named('10.0.0.2', 'web');
  const cases: [before: NamedAddress[], after: NamedAddress[], expected: string[] | null][] = [
    [[web], [web], null],
    [[], [web], null],
    [[named('10.0.0.3', 'gone')], [web], null],
    [[web], [], ['10.0.0.1 gateway', '10.0.0.22 web2', '10.0.0.9 api # libvirt', '10.0.0.9 db x # libvirt']],
    [
      [web],
      [named('10.0.0.3', 'db', 'api')],
      ['10.0.0.1 gateway', '10.0.0.22 web2', '10.0.0.3 db api', '10.0.0.9 x # libvirt'],
    ],
    [
      [],
      [named('10.0.0.2', 'new')],
      [
        '10.0.0.1 gateway',
        '10.0.0.22 web2',
        '10.0.0.2 new',
        '10.0.0.9 api # libvirt',
        '10.0.0.9 db x # libvirt',
      ],
    ],
  ];
  for (const [before, after, expected] of cases)
    assert.deepEqual(withNames(text, before, after), expected, JSON.stringify(after));
});

names.run();
