// generate.mjs: writes the files that are made from the tables of keys and of commands. They are committed; a unit test
// fails when they are out of date.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, resolve } from 'node:path';
import { build } from 'esbuild';

const root = import.meta.dirname;
const outfile = `${root}/build/generate.cjs`;
await build({
  entryPoints: [`${root}/src/manual/generated-files.ts`],
  outfile,
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  define: { VIRLAN_VERSION: '""' },
  logLevel: 'warning',
});

const { generatedPaths, renderFile } = createRequire(import.meta.url)(outfile);
const today = new Date().toISOString().slice(0, 10);
for (const path of generatedPaths) {
  const file = resolve(root, path);
  const present = existsSync(file) ? readFileSync(file, 'utf8') : '';
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, renderFile(path, present, today));
}
