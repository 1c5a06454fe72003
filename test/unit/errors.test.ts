// errors.test.ts: tests that errors are known in every bundle, whichever bundle they come from.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import { CommandError, VirlanError, WriteError } from '../../src/errors.ts';
// @ts-expect-error: the bundler takes this for another file, as if it were in another bundle.
import * as elsewhere from '../../src/errors.ts?elsewhere';
import { readSources } from './import-graph.ts';

const errors = suite('errors');

errors('instanceof knows errors of another bundle', () => {
  assert.notEqual(elsewhere.WriteError, WriteError);
  const error: unknown = new elsewhere.WriteError('/etc/virlan/virlan.ini', new Error('no space left'));
  assert(error instanceof WriteError);
  assert(error instanceof VirlanError);
  assert(!(error instanceof CommandError));
  assert(new WriteError('/', null) instanceof elsewhere.VirlanError);
  assert(!(new elsewhere.VirlanError('refused', '') instanceof WriteError));
  assert.equal((error as Error).name, 'WriteError');
});

errors('instanceof is false for all other values', () => {
  for (const value of [new Error(''), null, undefined, 1, 'WriteError', {}, Object.create(null)])
    assert(!((value as unknown) instanceof VirlanError), String(value && typeof value));
});

errors('each class of errors has its own label', () => {
  const found = readSources().flatMap(source => [
    ...readFileSync(source, 'utf8').matchAll(/^(?:export )?class (\w+) extends \w*Error \{\n(.*)$/gm),
  ]);
  const classes = found.filter(([text]) => !/extends Error /.test(text));
  assert(classes.length > 5);
  for (const [, name, first] of classes) assert.equal(first, `  static override readonly label = '${name}';`);
});

errors.run();
