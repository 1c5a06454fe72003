// The packages that run.mjs has built: their directory is the first argument of a test file.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';

/** Returns the path of the one package whose file name matches. */
export function packagePath(pattern: RegExp): string {
  const directory = process.argv[2] ?? '';
  const [name, ...others] = readdirSync(directory).filter(file => pattern.test(file));
  assert(name !== undefined && others.length === 0, `${pattern}: ${[name, ...others].join(', ')}`);
  return `${directory}/${name}`;
}
