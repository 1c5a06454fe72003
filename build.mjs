// build.mjs: writes virlan's bundles into dist/, and dist/licences: the licences of the packages in them.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { bundleProgram } from './bundles.mjs';
import { licencesOf } from './licences.mjs';

process.chdir(import.meta.dirname);
const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
const bundles = await bundleProgram(version);

rmSync('dist', { recursive: true, force: true });
for (const { path, contents } of bundles) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, contents);
}

writeFileSync(
  'dist/licences',
  licencesOf(
    bundles.flatMap(({ metafile }) => Object.keys(metafile.inputs)),
    '.',
  ),
);
