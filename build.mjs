// build.mjs: writes virlan's bundles into dist/, and dist/licences: the licences of the packages in them.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { bundleProgram } from './bundles.mjs';

process.chdir(import.meta.dirname);
const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
const bundles = await bundleProgram(version);

rmSync('dist', { recursive: true, force: true });
for (const { path, contents } of bundles) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, contents);
}

// The licences of bundled packages require their text to be distributed with them.
const packages = bundles
  .flatMap(({ metafile }) => Object.keys(metafile.inputs))
  .flatMap(input => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1] ?? []);
const licences = [...new Set(packages)].sort().map(name => {
  const directory = `node_modules/${name}`;
  const file = readdirSync(directory).find(each => /^licen[cs]e/i.test(each));
  const { version, license, author } = JSON.parse(readFileSync(`${directory}/package.json`, 'utf8'));
  const text =
    file === undefined ? `${license}, by ${author}` : readFileSync(`${directory}/${file}`, 'utf8').trim();
  return `---- ${name} ${version}\n\n${text}\n`;
});
writeFileSync('dist/licences', licences.join('\n'));
