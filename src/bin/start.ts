// Starts virlan: loads its bundles with the code that V8 compiled at earlier starts, because a machine's start waits for a
// hook. A kept file is a line, such as `v20.19.0 1714557600000 143248 daemon qemu`, and V8's code cache behind it.
//
// Measured under Node 20, `hook qemu … prepare` of a known and of a new machine: 46 and 71 ms with this, 56 and 93 ms
// without, 62 and 91 ms with v8-compile-cache-lib, which keeps only functions that V8 compiles at load and reads the
// caches of all bundles. Node 22.1 has `module.enableCompileCache`; it can replace this file when Node 20 is not supported.
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { Script } from 'node:vm';
import { readBytesOrNull, writeAtomically } from '../system/files.ts';
import { paths } from '../system/paths.ts';

/** A command of virlan, or the driver whose hook this is: each calls other functions, whose code is added to what is kept. */
const [, , command = '', driver = ''] = process.argv;
const part = command === 'hook' ? driver : command;

/** So that nonsense on the command line does not make the list grow. */
const maxParts = 20;

/** Code that V8 compiled at earlier starts, and of which parts. */
interface Kept {
  readonly parts: readonly string[];
  readonly code: Buffer | null;
}

const nodeRequire = createRequire(__filename);
/** The directory that holds the bundles, each in the folder of its source. */
const bundles = dirname(__dirname);
const toKeep = new Map<string, { readonly header: string; readonly script: Script }>();
const loaded = new Map<string, { exports: unknown }>();

function load(file: string): unknown {
  const known = loaded.get(file);
  if (known !== undefined) return known.exports;
  const { mtimeMs, size } = statSync(file);
  // V8 checks its own version and the source's length.
  const version = `${process.version} ${mtimeMs} ${size}`;
  const { parts, code } = readKept(file, version);
  const source = `(function (exports, require, module, __filename, __dirname) { ${readFileSync(file, 'utf8')}\n})`;
  const script = new Script(source, { filename: file, ...(code === null ? {} : { cachedData: code }) });
  const isRejected = script.cachedDataRejected === true;
  if (code === null || isRejected || (!parts.includes(part) && parts.length < maxParts)) {
    const all = isRejected ? [part] : [...parts, part];
    toKeep.set(file, { header: `${[version, ...all].join(' ')}\n`, script });
  }
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

/** Code of another version of the bundle, or of another Node, does not count. */
function readKept(file: string, version: string): Kept {
  const bytes = readBytesOrNull(keptPath(file));
  const headerEnd = bytes?.indexOf('\n') ?? -1;
  const header = bytes?.toString('latin1', 0, Math.max(0, headerEnd)) ?? '';
  if (bytes === null || !header.startsWith(`${version} `)) return { parts: [], code: null };
  return { parts: header.slice(version.length + 1).split(' '), code: bytes.subarray(headerEnd + 1) };
}

/** By now V8 has compiled just the functions that were called. Root alone can read and write what it executes. */
function keep(): void {
  try {
    for (const [file, { header, script }] of toKeep) {
      mkdirSync(dirname(keptPath(file)), { recursive: true, mode: 0o700 });
      writeAtomically(keptPath(file), Buffer.concat([Buffer.from(header), script.createCachedData()]), 0o600);
    }
  } catch {
    // A full disk, or one that is read only: the next start is as slow as this one.
  }
}

process.on('exit', keep);
load(join(__dirname, command === 'hook' ? 'hook.cjs' : 'virlan.cjs'));
