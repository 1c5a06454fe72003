// label.test.ts: tests how names of machines become labels of host names.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { isLabel, machineLabel } from '../../src/names/label.ts';
import { anyName } from './builders.ts';

const labels = suite('label');

function neverTaken() {
  return false;
}

/**
 * Checks RFC 1123, 2.1, and that dnsmasq reads the text as a name and nothing else (option.c,
 * LOPT_DHCP_HOST).
 */
function assertLabel(text: string): void {
  assert.match(text, /^[a-z0-9-]{1,63}$/);
  assert.doesNotMatch(text, /^-|-$|^\d+[smhdw]?$|^(ignore|infinite|localhost)$/);
}

labels('names become these labels', () => {
  const cases: [name: string, nic: number, label: string | RegExp][] = [
    ['web', 0, 'web'],
    ['web', 2, 'web-2'],
    ['Web.Example.ORG', 0, 'web-example-org'],
    ['  a  b  ', 0, 'a-b'],
    ['my_vm', 1, 'my-vm-1'],
    ['7', 0, /^7-[0-9a-f]{6}$/],
    ['7', 1, '7-1'],
    ['24h', 0, /^24h-[0-9a-f]{6}$/],
    ['Ignore', 0, /^ignore-[0-9a-f]{6}$/],
    ['infinite', 0, /^infinite-[0-9a-f]{6}$/],
    ['localhost', 0, /^localhost-[0-9a-f]{6}$/],
    ['wpad', 0, /^wpad-[0-9a-f]{6}$/],
    ['虚拟机', 0, /^vm-[0-9a-f]{6}$/],
    ['虚拟机', 3, /^vm-[0-9a-f]{6}-3$/],
    ['a'.repeat(64), 0, 'a'.repeat(63)],
    ['a'.repeat(64), 12, `${'a'.repeat(60)}-12`],
    [`${'a'.repeat(62)}.b`, 0, 'a'.repeat(62)],
  ];
  for (const [name, nic, expected] of cases) {
    const label = machineLabel(name, nic, neverTaken);
    if (typeof expected === 'string') assert.equal(label, expected);
    else assert.match(label, expected);
  }
});

labels('every name has a valid label, which does not change and is its own label', () => {
  fc.assert(
    fc.property(anyName, fc.nat(120), (name, nic) => {
      const label = machineLabel(name, nic, neverTaken);
      assertLabel(label);
      assert(isLabel(label));
      assert.equal(machineLabel(name, nic, neverTaken), label);
      assert.equal(machineLabel(label, 0, neverTaken), label);
    }),
    { numRuns: 1000 },
  );
});

labels('names do not share a label if the labels in use are known', () => {
  const similarNames = fc.constantFrom(
    'web',
    'WEB',
    'w.e.b',
    'web.',
    ' web',
    'web,',
    'w-e-b',
    '7',
    '7.',
    '',
    '-',
    '💥',
    'ignore',
  );
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.oneof(similarNames, anyName), fc.nat(2)), { maxLength: 30 }),
      machines => {
        const taken = new Set<string>();
        for (const [name, nic] of machines) {
          const label = machineLabel(name, nic, other => taken.has(other));
          assertLabel(label);
          assert(!taken.has(label), `duplicate ${label}`);
          taken.add(label);
        }
      },
    ),
  );
});

labels('names with the same label get a suffix that depends on the name, not on the order', () => {
  const found = ['WEB', 'web.', 'web,', ' web'].map(name => machineLabel(name, 0, label => label === 'web'));
  assert.equal(new Set(found).size, 4);
  for (const label of found) assert.match(label, /^web-[0-9a-f]{6}$/);
});

labels('a label that a user writes is accepted or refused', () => {
  const valid = ['a', 'a-b', '0a', '1-2', 'a'.repeat(63), '24x', 'h24'];
  const invalid = [
    '',
    '-a',
    'a-',
    'A',
    'a.b',
    'a_b',
    'é',
    'a\n',
    '\na',
    '7',
    '007',
    '24h',
    '1w',
    '2d',
    '3m',
    '4s',
    'ignore',
    'infinite',
    'wpad',
    'a'.repeat(64),
  ];
  assert.deepEqual(
    valid.filter(text => !isLabel(text)),
    [],
  );
  assert.deepEqual(invalid.filter(isLabel), []);
});

labels.run();
