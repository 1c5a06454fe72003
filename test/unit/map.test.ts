// map.test.ts: tests what CONTRIBUTING.md says of the folders of src/, and that files which texts name exist.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { suite } from 'uvu';
import { readImports, readSources } from './import-graph.ts';

const maps = suite('map');

const sources = readSources();
const contributing = readFileSync('CONTRIBUTING.md', 'utf8');

/** The folders of the map, as `src/address`, each with the number of its line: those of one line have the same. */
const map: ReadonlyMap<string, number> = readMap();

function readMap(): Map<string, number> {
  const [, section = ''] = /^## The folders of `src\/`$(.*?)^## /ms.exec(contributing) ?? [];
  const lines = section.split('\n').flatMap(line => /^\| (`.*?) \|/.exec(line)?.[1] ?? []);
  return new Map(
    lines.flatMap((folders, line) =>
      [...folders.matchAll(/`([^`]+)`/g)].map(([, name]) => [
        name === 'src/*.ts' ? 'src' : `src/${name}`,
        line,
      ]),
    ),
  );
}

/** The folders that each may import. */
const common = ['src', 'src/system', 'src/address', 'src/names'];

/** Returns the last cell of a folder's line: what it imports. */
function importsCell(folder: string): string {
  const name = folder === 'src' ? 'src/*.ts' : folder.replace('src/', '');
  const lines = contributing.split('\n').map(line => line.split('|'));
  return (
    lines
      .find(([, first]) => first?.includes(`\`${name}\``))
      ?.at(-2)
      ?.trim() ?? ''
  );
}

/** Returns the folder in the map that contains a source. The sources of a package are one level deeper. */
function folderOf(source: string): string {
  return dirname(source).replace(/^(src\/node-libvirt)\/src$/, '$1');
}

function lineOf(source: string): number {
  return map.get(folderOf(source)) ?? -1;
}

maps('it has a line for each folder, and for no other', () => {
  assert.deepEqual([...map.keys()].sort(), [...new Set(sources.map(folderOf))].sort());
});

maps('a folder imports only from folders above it, type imports included', () => {
  const downward = readImports(sources).filter(
    ({ from, to }) => to.startsWith('src/') && lineOf(from) < lineOf(to),
  );
  assert.deepEqual(
    downward.map(({ from, to }) => `${from} -> ${to}`),
    [],
  );
});

maps('a folder imports what its line names, and nothing else', () => {
  const imports = readImports(sources).filter(({ to }) => to.startsWith('src/'));
  for (const folder of map.keys()) {
    const own = imports.filter(({ from, to }) => folderOf(from) === folder && folderOf(to) !== folder);
    const imported = new Set(own.map(({ to }) => folderOf(to)).filter(each => !common.includes(each)));
    const cell = importsCell(folder);
    const named = [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => `src/${name}`);
    if (cell.startsWith('all above'))
      assert.deepEqual(
        named.filter(each => imported.has(each)),
        [],
        folder,
      );
    else assert.deepEqual([...imported].sort(), named.sort(), folder);
  }
});

maps('every file exists that CONTRIBUTING.md names by its path', () => {
  const named = [...contributing.matchAll(/`((?:[\w.-]+\/)+[\w.-]+\.\w+)`/g)].map(([, path = '']) => path);
  assert(named.length > 30, `${named.length} files named`);
  assert.deepEqual(
    named.filter(path => ![path, `src/${path}`].some(existsSync)),
    [],
  );
});

maps('every source exists that a comment names, below src/ or from its own folder', () => {
  const missing = sources.flatMap(source =>
    readFileSync(source, 'utf8')
      .split('\n')
      .filter(line => /^ *(?:\/\/|\/?\*)/.test(line))
      .flatMap(line => [...line.matchAll(/(?<![\w/.…*-])(?:[\w-]+\/)*[\w-]+\.ts\b/g)])
      .filter(([path]) => ![path, `src/${path}`, `${dirname(source)}/${path}`].some(existsSync))
      .map(([path]) => `${source}: ${path}`),
  );
  assert.deepEqual(missing, []);
});

maps.run();
