// Starts virlan: loads its bundles with the code that V8 compiled at earlier starts, because a machine's
// start waits for a hook. A cache file is a line, such as `v20.19.0 1714557600000 143248 daemon qemu`,
// followed by V8's code cache.
//
// Measured under Node 20, `hook qemu … prepare` of a known and of a new machine: 46 and 71 ms with this, 56
// and 93 ms without, 62 and 91 ms with v8-compile-cache-lib, which caches only functions that V8 compiles at
// load and reads the caches of all bundles. Node 22.1 has `module.enableCompileCache`; it can replace this
// file when Node 20 is not supported.
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { Script } from 'node:vm';
import { readOwnBytesOrNull, writeAtomically } from '../system/files.ts';
import { paths } from '../system/paths.ts';

/**
 * A command of virlan, or the driver of a hook. Each part calls other functions, whose code is added to the
 * cache.
 */
const [, , command = '', driver = ''] = process.argv;
const part = command === 'hook' ? driver : command;

/** Limits the list of parts, because any word on the command line counts as one. */
const maxParts = 20;

/** Code that V8 compiled at earlier starts, and the parts that it is of. */
interface CachedCode {
  readonly parts: readonly string[];
  readonly code: Buffer | null;
}

const nodeRequire = createRequire(__filename);
/** The directory that holds the bundles, each in the folder of its source. */
const bundles = dirname(__dirname);
const toWrite = new Map<string, { readonly header: string; readonly script: Script }>();
/** Cache of this process: the modules that are loaded. */
const loaded = new Map<string, { exports: unknown }>();

function load(file: string): unknown {
  const known = loaded.get(file);
  if (known !== undefined) return known.exports;
  const { mtimeMs, size } = statSync(file);
  // V8 checks its own version and the source's length.
  const version = `${process.version} ${mtimeMs} ${size}`;
  const { parts, code } = readCache(file, version);
  // Bundles are ASCII, which is read faster so than as UTF-8.
  const source = `(function (exports, require, module, __filename, __dirname) { ${readFileSync(file, 'latin1')}\n})`;
  const script = new Script(source, { filename: file, ...(code === null ? {} : { cachedData: code }) });
  const isRejected = script.cachedDataRejected === true;
  if (code === null || isRejected || (!parts.includes(part) && parts.length < maxParts)) {
    const all = isRejected ? [part] : [...parts, part];
    toWrite.set(file, { header: `${[version, ...all].join(' ')}\n`, script });
  }
  const module = { exports: {} };
  loaded.set(file, module);
  const directory = dirname(file);
  const require = (id: string) => (id.startsWith('.') ? load(join(directory, id)) : nodeRequire(id));
  require.resolve = (id: string) => join(directory, id);
  script.runInThisContext()(module.exports, require, module, file, directory);
  return module.exports;
}

function cachePath(file: string): string {
  return `${paths.codeCache}/${relative(bundles, file)}.v8`;
}

/** Returns the bytes of a cache file; null where it is missing, or cannot be read: only root can read it. */
function readBytes(path: string): Buffer | null {
  try {
    return readOwnBytesOrNull(path);
  } catch {
    return null;
  }
}

/** Reads a cache file. One of another version of the bundle or of Node is ignored. */
function readCache(file: string, version: string): CachedCode {
  const bytes = readBytes(cachePath(file));
  const headerEnd = bytes?.indexOf('\n') ?? -1;
  const header = bytes?.toString('latin1', 0, Math.max(0, headerEnd)) ?? '';
  if (bytes === null || !header.startsWith(`${version} `)) return { parts: [], code: null };
  return { parts: header.slice(version.length + 1).split(' '), code: bytes.subarray(headerEnd + 1) };
}

/**
 * Writes the caches at exit, when V8 has compiled just the functions that were called. Only root can read and
 * write them.
 */
function writeCaches(): void {
  try {
    for (const [file, { header, script }] of toWrite) {
      mkdirSync(dirname(cachePath(file)), { recursive: true, mode: 0o700 });
      writeAtomically(
        cachePath(file),
        Buffer.concat([Buffer.from(header), script.createCachedData()]),
        0o600,
      );
    }
  } catch {
    // A full disk, or one that is read only: the next start is as slow as this one.
  }
}

// Whatever the caller's umask is: dnsmasq, which also gets it, has to read files as another user.
process.umask(0o022);
process.on('exit', writeCaches);
load(join(__dirname, command === 'hook' ? 'hook.cjs' : 'virlan.cjs'));
