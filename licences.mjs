// licences.mjs: the licences of the packages in a bundle, which require their text to be distributed with them.
import { readdirSync, readFileSync } from 'node:fs';

/**
 * Returns the licences of the packages that files of a bundle belong to, as one text. The files are relative to
 * `directory`, which has the node_modules.
 */
export function licencesOf(files, directory) {
  const packages = files.flatMap(file => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1] ?? []);
  return [...new Set(packages)]
    .sort()
    .map(name => licenceOf(name, `${directory}/node_modules/${name}`))
    .join('\n');
}

function licenceOf(name, directory) {
  const file = readdirSync(directory).find(each => /^licen[cs]e/i.test(each));
  const { version, license, author } = JSON.parse(readFileSync(`${directory}/package.json`, 'utf8'));
  const text =
    file === undefined ? `${license}, by ${author}` : readFileSync(`${directory}/${file}`, 'utf8').trim();
  return `---- ${name} ${version}\n\n${text}\n`;
}
