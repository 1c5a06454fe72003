// status-screen.test.ts: tests the lines of `virlan status` and the screen of `virlan status --watch`.
import assert from 'node:assert/strict';
import { stripVTControlCharacters } from 'node:util';
import fc from 'fast-check';
import { suite } from 'uvu';
import { columnsOf, cut } from '../../src/cli/layout.ts';
import { statusLines } from '../../src/cli/status-lines.ts';
import { type Size, statusScreen, type View } from '../../src/cli/status-screen.ts';
import { anyName } from './builders.ts';
import { machineStatus, networkStatus, statusOf } from './status-builders.ts';

const screens = suite('status screen');

const small: Size = { columns: 80, rows: 24 };
const large: Size = { columns: 200, rows: 50 };

const longName = `worker-${'x'.repeat(60)}-1`;

function machines(count: number, name = (number: number) => `m${number}`) {
  return Array.from({ length: count }, (_, index) => machineStatus(index + 1, name(index + 1)));
}

function plain(lines: readonly string[]): string[] {
  return lines.map(stripVTControlCharacters);
}

function screen(changes: Partial<View>, size: Size): string[] {
  return plain(statusScreen({ status: null, error: null, awaySince: null, ...changes }, size));
}

function assertFits(lines: readonly string[], { columns, rows }: Size): void {
  assert(lines.length <= rows, `${lines.length} lines`);
  for (const line of lines) assert(columnsOf(line) <= columns, line);
}

screens('a name is shortened only where the table is wider than the terminal', () => {
  const status = statusOf(networkStatus('k8s-br0', machineStatus(1, longName), machineStatus(2, 'web')));
  const row = (lines: readonly string[]) => plain(lines).find(line => line.startsWith('  worker-')) ?? '';
  assert(row(statusLines(status, Number.POSITIVE_INFINITY)).includes(`${longName}  `));
  assert(row(statusLines(status, 200)).includes(`${longName}  `));
  const narrow = row(statusLines(status, 80));
  assert.match(narrow, /^ {2}worker-x+… {2}running/);
  assert.equal(Math.max(...plain(statusLines(status, 80)).map(line => line.length)), 80);
  assert(row(screen({ status }, large)).includes(`${longName}  `));
  assert.equal(row(screen({ status }, small)), narrow);
});

screens('the NIC stays in a shortened name', () => {
  const status = statusOf(networkStatus('k8s-br0', { ...machineStatus(1, longName), nic: 1 }));
  assert.match(screen({ status }, small).join('\n'), /\n {2}worker-x+… \(NIC 1\) {2}running/);
});

screens('what does not fit is counted in the last line', () => {
  const status = statusOf(networkStatus('k8s-br0', ...machines(100)));
  const lines = screen({ status }, small);
  const whole = screen({ status }, { columns: 80, rows: 1000 });
  assert.equal(lines.length, 24);
  assert.deepEqual(lines.slice(0, 23), whole.slice(0, 23));
  assert.equal(lines[23], `… and ${whole.length - 23} more lines`);
  assert.deepEqual(screen({ status }, { columns: 80, rows: whole.length }), whole);
  assert(!whole.some(line => line.includes('more lines')));
});

screens('problems of all networks and machines are above the machines, and wrapped', () => {
  const remedy = `a problem with a remedy: ${'type this '.repeat(12)}at the end`;
  const one = networkStatus('one', ...machines(100));
  const bad = { ...machineStatus(101, 'bad'), problem: 'its address is taken' };
  const aliases = [{ alias: 'api', problem: 'api is taken' }];
  const two = {
    ...networkStatus('two', bad, { ...bad, problem: null, refusedAliases: aliases }),
    problems: [remedy],
  };
  const lines = screen({ status: statusOf(one, two) }, small);
  assert.match(lines[1] ?? '', /^! two: a problem with a remedy/);
  assert(
    lines
      .slice(1, 5)
      .map(line => line.trim())
      .join(' ')
      .includes(remedy),
  );
  assert(lines.includes('! bad: its address is taken') && lines.includes('! bad: api is taken'));
  assertFits(lines, small);
});

screens('the first line says that the watcher is away, and since when', () => {
  const status = statusOf(networkStatus('k8s-br0', ...machines(1)));
  assert.match(screen({ status }, small)[0] ?? '', /^virlan 1, watcher running, libvirt connected /);
  const away = screen({ status, awaySince: new Date('2026-11-22T10:01:02.345Z') }, small);
  assert.match(away[0] ?? '', /^virlan 1, the watcher is away: last seen 10:01:02Z /);
  assert(
    away.some(line => line.startsWith('  m1 ')),
    'the last status stays',
  );
});

screens('an error of the watcher is shown, before and after a status', () => {
  assert.equal(screen({ error: 'no ledger: \u001b[2J' }, small)[1], '! no ledger: ?[2J');
  const status = statusOf(networkStatus('k8s-br0', ...machines(1)));
  const lines = screen({ status, error: 'no ledger' }, small);
  assert.equal(lines[1], '! no ledger');
  assert(lines.some(line => line.startsWith('  m1 ')));
});

screens('whatever is in the status, the screen fits and has no control characters', () => {
  const anySize = fc.record({
    columns: fc.integer({ min: 1, max: 250 }),
    rows: fc.integer({ min: 1, max: 60 }),
  });
  const property = fc.property(fc.array(anyName, { maxLength: 40 }), anySize, (names, size) => {
    const network = networkStatus('k8s-br0', ...machines(names.length, number => names[number - 1] ?? ''));
    const lines = screen({ status: { ...statusOf({ ...network, problems: names }), notes: names } }, size);
    assertFits(lines, size);
    assert(!lines.some(line => /\p{Cc}/u.test(line)));
  });
  fc.assert(property);
});

screens(
  'columns are those of a terminal: two for East Asian characters and pictures, none for combining ones',
  () => {
    const widths: [string, number][] = [
      ['web', 3],
      ['虚拟机', 6],
      ['ﾊﾝｶｸ', 4],
      ['한글', 4],
      ['Z\u030ciz\u030ckov', 6],
      ['💥', 2],
      ['❤️', 2],
      ['🇩🇪', 2],
      ['\u001b[1m机\u001b[22m', 2],
    ];
    for (const [text, columns] of widths) assert.equal(columnsOf(text), columns, text);
  },
);

/** Returns the columns of a text by a simple rule, which is right for the names of the test below. */
function simpleColumns(text: string): number {
  return [...text].reduce((sum, character) => {
    if (/\p{M}/u.test(character)) return sum;
    return sum + (/\p{Script=Han}|\p{Emoji_Presentation}/u.test(character) ? 2 : 1);
  }, 0);
}

screens('the columns of a table are straight whatever the names are', () => {
  const names = ['web', '虚拟机', 'Z\u030ciz\u030ckov', '💥', '虚'.repeat(60), 'e\u0301'.repeat(60)];
  const status = statusOf(networkStatus('lab', ...machines(names.length, number => names[number - 1] ?? '')));
  for (const columns of [80, 81, 200]) {
    const rows = plain(statusLines(status, columns)).filter(line => line.includes(' running '));
    assert.equal(rows.length, names.length);
    const columnsBefore = rows.map(row => simpleColumns(row.slice(0, row.indexOf('running'))));
    assert.equal(new Set(columnsBefore).size, 1, rows.join('\n'));
    assert(Math.max(...rows.map(columnsOf)) <= columns);
  }
});

screens('a cut line keeps its styles, which take no room', () => {
  const styled = '\u001b[1mbold\u001b[22m and \u001b[32mgreen\u001b[39m';
  assert.equal(cut(styled, 14), styled);
  assert.equal(cut(styled, 12), '\u001b[1mbold\u001b[22m and \u001b[32mgr\u001b[39m…');
  assert.equal(cut(styled, 3), '\u001b[1mbo\u001b[22m\u001b[32m\u001b[39m…');
  assert.equal(cut(`a ${styled}`, 4), 'a \u001b[1mb\u001b[22m\u001b[32m\u001b[39m…');
  assert.equal(cut('😀😀😀', 3), '😀…');
  assert.equal(cut('😀😀😀', 4), '😀…');
  assert.equal(cut('😀\u001b[1ma😀b\u001b[22m', 4), '😀\u001b[1ma\u001b[22m…');
  assert.equal(cut('e\u0301e\u0301e\u0301', 2), 'e\u0301…');
});

screens.run();
