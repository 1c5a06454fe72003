// manual.test.ts: tests that generated files and documents match the tables of keys and commands.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { suite } from 'uvu';
import { commands } from '../../src/cli/table.ts';
import { networkKeys } from '../../src/config/keys.ts';
import { generatedPaths, renderFile } from '../../src/manual/generated-files.ts';
import { dateOf, paragraph } from '../../src/manual/roff.ts';

const manual = suite('manual');

for (const path of generatedPaths) {
  manual(`${path} is up to date`, () => {
    const current = readFileSync(path, 'utf8');
    assert.equal(current, renderFile(path, current, '2000-01-01'), 'out of date: npm run generate');
  });
}

manual('a page has the date of its last change', () => {
  const path = 'install/man/virlan.8';
  const page = renderFile(path, '', '2026-01-01');
  assert.equal(dateOf(page), '2026-01-01');
  assert.equal(renderFile(path, page, '2026-02-02'), page);
  assert.equal(dateOf(renderFile(path, `${page}.PP\nmore\n`, '2026-02-02')), '2026-02-02');
});

manual('each command and each key is in the manual pages and completions', () => {
  const page = (path: string) => renderFile(path, '', '2026-01-01');
  for (const { name, summary } of commands) {
    assert(page('install/man/virlan.8').includes(`\n.SS virlan ${name}`), name);
    for (const shell of ['virlan.bash', '_virlan', 'virlan.fish'])
      assert(page(`contrib/completions/${shell}`).includes(` ${name}`), `${shell}: ${name}`);
    assert(page('contrib/completions/_virlan').includes(summary.replaceAll("'", "'\\''")), summary);
  }
  for (const key of Object.keys(networkKeys)) {
    assert(page('docs/virlan.ini.md').includes(`\n### \`${key}\`\n`), key);
    assert(page('install/virlan.ini').includes(`\n; ${key} =`), key);
  }
});

manual('README names each command, and every link between documents has a target', () => {
  const documents = ['README.md', 'CONTRIBUTING.md', ...documentsIn('docs')];
  const texts = new Map(documents.map(path => [path, readFileSync(path, 'utf8')]));
  for (const { name } of commands) assert(texts.get('README.md')?.includes(`\`virlan ${name}`), name);
  for (const [path, text] of texts) {
    for (const [link, target = ''] of text.matchAll(/\]\((?!https?:)([^)#]*)[^)]*\)/g))
      assert(target === '' || existsSync(join(dirname(path), target)), `${path}: ${link}`);
  }
});

manual('docs/json.md names each field of the status', () => {
  const text = readFileSync('docs/json.md', 'utf8');
  const { properties } = JSON.parse(readFileSync('docs/schema/status.json', 'utf8'));
  for (const field of fieldsOf(properties)) assert(text.includes(`\`${field}\``), field);
});

function documentsIn(directory: string): string[] {
  const names = readdirSync(directory).filter(name => name.endsWith('.md'));
  return names.map(name => `${directory}/${name}`);
}

/** Returns the names of the properties in a schema, at any depth. */
function fieldsOf(properties: object): string[] {
  return Object.entries(properties).flatMap(([name, schema]) => [name, ...innerFields(schema)]);
}

function innerFields(schema: unknown): string[] {
  if (typeof schema !== 'object' || schema === null) return [];
  return Object.entries(schema).flatMap(([key, value]) =>
    key === 'properties' ? fieldsOf(value) : innerFields(value),
  );
}

manual('roff: text is escaped, and lines have 80 columns at most', () => {
  assert.deepEqual(paragraph('.so /etc/passwd'), ['\\&.so /etc/passwd']);
  assert.deepEqual(paragraph("'a \\n"), ["\\&'a \\en"]);
  assert.deepEqual(paragraph('`--json` it'), ['\\fB\\-\\-json\\fR it']);
  assert.deepEqual(paragraph(' '), []);
  for (const line of paragraph('`a-b` '.repeat(99))) assert(line.length <= 80, line);
});

manual.run();
