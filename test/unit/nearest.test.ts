// nearest.test.ts: tests which name is offered for a mistyped one.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { adviceFor, nearestName } from '../../src/names/nearest.ts';

const nearest = suite('nearest name');

const commands = ['up', 'down', 'plan', 'status', 'doctor', 'forward', 'forget'];

nearest('a mistyped name has the nearest one, and others have none', () => {
  const cases: [typed: string, nearest: string | null][] = [
    ['statsu', 'status'],
    ['tsatus', 'status'],
    ['stat', 'status'],
    ['pln', 'plan'],
    ['paln', 'plan'],
    ['uup', 'up'],
    ['pu', 'up'],
    ['DOWN', null],
    ['Down', 'down'],
    ['forwrad', 'forward'],
    ['forgte', 'forget'],
    ['frobnicate', null],
    ['list', null],
    ['', null],
  ];
  for (const [typed, expected] of cases) assert.equal(nearestName(typed, commands), expected, typed);
});

nearest('of two equally near names it is the first', () => {
  assert.equal(nearestName('web3', ['web1', 'web2']), 'web1');
  assert.equal(nearestName('wbe1', ['web2', 'web1']), 'web1');
});

const word = fc.string({ minLength: 4, maxLength: 12, unit: fc.constantFrom('a', 'b', 'c', '-', '1') });

nearest('one mistake in a word of four letters or more is always recognised', () => {
  fc.assert(
    fc.property(
      word,
      fc.nat(),
      fc.constantFrom('insert', 'remove', 'replace', 'exchange'),
      (name, seed, kind) => {
        const place = seed % (name.length - 1);
        const [start, rest] = [name.slice(0, place), name.slice(place)];
        const mistyped = {
          insert: `${start}x${rest}`,
          remove: start + rest.slice(1),
          replace: `${start}x${rest.slice(1)}`,
          exchange: `${start}${rest[1]}${rest[0]}${rest.slice(2)}`,
        }[kind];
        assert.equal(nearestName(mistyped, [name]), name);
        assert.equal(nearestName(name, [`${name}xxxxxxx`, mistyped, name]), name);
      },
    ),
  );
});

nearest('a long word costs no time', () => {
  assert.equal(nearestName('x'.repeat(100_000), ['web'.repeat(10)]), null);
});

nearest('the advice quotes the name, which is hostile', () => {
  assert.equal(adviceFor('statsu', commands, 'virlan --help'), 'did you mean "status"? See "virlan --help"');
  assert.equal(adviceFor('frobnicate', commands, 'virlan --help'), 'see "virlan --help"');
  assert.equal(adviceFor('web', ['we\n'], 'virlan status'), 'did you mean "we\\n"? See "virlan status"');
});

nearest.run();
