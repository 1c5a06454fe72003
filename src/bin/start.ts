import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { Script } from 'node:vm';
import { readBytesOrNull, writeAtomically } from '../system/files.ts';
import { paths } from '../system/paths.ts';

/**
 * Where virlan starts. Its bundles are loaded with what V8 made of them at an earlier start, since a machine's start
 * waits for a hook and compiling is a good part of that. The code is kept by root for root; one that is missing, of
 * another virlan or of another Node is made anew, and without one all is merely slower. (Node has this itself from
 * 22.1 on: `module.enableCompileCache`.)
 */
const nodeRequire = createRequire(__filename);
/** The directory that holds the bundles, each in the folder of its source. */
const bundles = dirname(__dirname);
const uncached = new Map<string, { key: string; script: Script }>();
const loaded = new Map<string, { exports: unknown }>();

function load(file: string): unknown {
  const known = loaded.get(file);
  if (known !== undefined) return known.exports;
  const { mtimeMs, size } = statSync(file);
  // V8 looks at its own version and at the source's length.
  const key = `${process.version} ${mtimeMs} ${size}\n`;
  const kept = readKept(file, key);
  const source = `(function (exports, require, module, __filename, __dirname) { ${readFileSync(file, 'utf8')}\n})`;
  const script = new Script(source, { filename: file, ...(kept === null ? {} : { cachedData: kept }) });
  if (kept === null || script.cachedDataRejected === true) uncached.set(file, { key, script });
  const module = { exports: {} };
  loaded.set(file, module);
  const directory = dirname(file);
  const require = (id: string) => (id.startsWith('.') ? load(join(directory, id)) : nodeRequire(id));
  require.resolve = (id: string) => join(directory, id);
  script.runInThisContext()(module.exports, require, module, file, directory);
  return module.exports;
}

function keptPath(file: string): string {
  return `${paths.codeCache}/${relative(bundles, file)}.v8`;
}

function readKept(file: string, key: string): Buffer | null {
  const bytes = readBytesOrNull(keptPath(file));
  return bytes?.toString('latin1', 0, key.length) === key ? bytes.subarray(key.length) : null;
}

/** By now V8 has compiled just those functions that were called. */
function keep(): void {
  try {
    for (const [file, { key, script }] of uncached) {
      mkdirSync(dirname(keptPath(file)), { recursive: true, mode: 0o700 });
      writeAtomically(keptPath(file), Buffer.concat([Buffer.from(key), script.createCachedData()]), 0o600);
    }
  } catch {
    // A full disk, or one that is read only: the next start is as slow as this one.
  }
}

process.on('exit', keep);
load(join(__dirname, process.argv[2] === 'hook' ? 'hook.cjs' : 'virlan.cjs'));
