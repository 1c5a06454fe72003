// Reads files that may be missing, and replaces files atomically.
import {
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { messageOf, VirlanError } from '../errors.ts';

/** Returns the text of a file; null when it does not exist. Throws when it exists and cannot be read. */
export function readFileOrNull(path: string): string | null {
  return readBytesOrNull(path)?.toString('utf8') ?? null;
}

/** Returns the bytes of a file; null when it does not exist. Throws when it exists and cannot be read. */
export function readBytesOrNull(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** Returns the sorted names in a directory; none when it does not exist. */
export function listDirectory(path: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/**
 * Replaces a file in one step: a reader sees the old text or the new, also after a power failure. Throws
 * VirlanError 'write-failed' when the new text cannot be stored, for example on a full disk.
 */
export function writeAtomically(path: string, content: string | Buffer, mode = 0o644): void {
  const temporary = `${path}.${process.pid}.tmp`;
  const file = createFile(temporary, mode);
  try {
    fchmodSync(file, mode);
    const bytes = typeof content === 'string' ? Buffer.from(content, 'utf8') : content;
    for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written);
    fsyncSync(file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new VirlanError('write-failed', `${path} cannot be written: ${messageOf(error)}`, { cause: error });
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
  storeDurably(dirname(path));
}

/** Makes a file's content, or the names in a directory, outlive a power failure. */
export function storeDurably(path: string): void {
  const file = openSync(path, constants.O_RDONLY);
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/**
 * Returns a text that changes when a file is replaced or written; null when it does not exist.
 */
function versionOf(path: string): string | null {
  try {
    const { ino, mtimeNs, size } = statSync(path, { bigint: true });
    return `${ino} ${mtimeNs} ${size}`;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** Most files that `cached` keeps: more are read again. */
const maxKept = 20_000;

/** Returns `read` with a cache by path: a file is read again only after it was replaced. */
export function cached<T>(read: (path: string) => T): (path: string) => T {
  const kept = new Map<string, { readonly version: string; readonly value: T }>();
  return path => {
    const version = versionOf(path);
    const known = kept.get(path);
    if (known !== undefined && known.version === version) return known.value;
    kept.delete(path);
    const value = read(path);
    if (kept.size >= maxKept) kept.clear();
    if (version !== null) kept.set(path, { version, value });
    return value;
  };
}

/** Creates a file, in place of one that a killed process of the same number left. Returns its descriptor. */
function createFile(path: string, mode: number): number {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  try {
    return openSync(path, flags, mode);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    rmSync(path);
    return openSync(path, flags, mode);
  }
}

/**
 * Returns whether an error of the file system means that the file or a directory of its path does not exist.
 */
export function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ENOTDIR';
}
