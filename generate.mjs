// generate.mjs: writes the files that follow from the tables of keys and of commands. They are committed; a unit test
// fails when they are out of date.
import { mkdirSync, writeFileSync } from 'node:fs';
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

const { generatedFiles } = createRequire(import.meta.url)(outfile);
for (const [path, render] of Object.entries(generatedFiles)) {
  mkdirSync(dirname(resolve(root, path)), { recursive: true });
  writeFileSync(resolve(root, path), render());
}
