// Reads files that may be missing, and replaces files atomically.
import {
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  type Stats,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { VirlanError, WriteError } from '../errors.ts';
import { hasVanished } from './file-errors.ts';

/** More than any file that virlan reads has: the lists of a large kernel's modules have 1 MB. */
const maxBytes = 2 ** 28;

/**
 * Returns the bytes of a file, or of the file that a symbolic link names; null when it does not exist. Throws
 * when it exists and cannot be read, and VirlanError 'damaged-file' for what is not a regular file.
 */
export function readBytesOrNull(path: string): Buffer | null {
  return read(path, 0, maxBytes);
}

/** Returns the text of a file, as `readBytesOrNull` does. */
export function readFileOrNull(path: string): string | null {
  return readBytesOrNull(path)?.toString('utf8') ?? null;
}

/**
 * Returns the bytes of a file in a directory of virlan's; null when it does not exist. Throws as `readFileOrNull`, and
 * VirlanError 'damaged-file' for a symbolic link: virlan makes none there, and may copy what it reads into public
 * files.
 */
export function readOwnBytesOrNull(path: string, limit = maxBytes): Buffer | null {
  return read(path, constants.O_NOFOLLOW, limit);
}

/** Returns the text of a file in a directory of virlan's, as `readOwnBytesOrNull` does. */
export function readOwnFileOrNull(path: string, limit = maxBytes): string | null {
  return readOwnBytesOrNull(path, limit)?.toString('utf8') ?? null;
}

/** With O_NONBLOCK, opening a FIFO does not wait for its writer. */
const readFlags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
/** Also to read, because open(2) of a FIFO that nobody reads would fail without saying that it is one. */
const appendFlags =
  constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK | constants.O_NOCTTY;

function read(path: string, flags: number, limit: number): Buffer | null {
  const file = openOrNull(path, readFlags | flags);
  if (file === null) return null;
  try {
    const stats = fstatSync(file);
    if (!stats.isFile()) throw unusable(path, notRegular(stats));
    if (stats.size > limit)
      throw unusable(
        path,
        `has ${stats.size} bytes, and more than ${limit} are not read: find out what writes it`,
      );
    return readAll(path, file);
  } finally {
    closeSync(file);
  }
}

function readAll(path: string, file: number): Buffer | null {
  try {
    return readFileSync(file);
  } catch (error) {
    if (hasVanished(error)) return null;
    // Unlike that of open(2), Node's error of read(2) does not name the file.
    (error as Error).message += ` '${path}'`;
    throw error;
  }
}

function openOrNull(path: string, flags: number): number | null {
  try {
    return openSync(path, flags);
  } catch (error) {
    if (isMissing(error)) return null;
    // open(2): ELOOP for a symbolic link with O_NOFOLLOW, ENXIO for a socket.
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ELOOP') throw unusable(path, 'is a symbolic link, not a regular file: remove it', error);
    if (code === 'ENXIO')
      throw unusable(path, 'is a socket or a device, not a regular file: remove it', error);
    throw error;
  }
}

function unusable(path: string, problem: string, cause?: unknown): VirlanError {
  return new VirlanError('damaged-file', `${path} ${problem}`, { cause });
}

function notRegular(stats: Stats): string {
  const type = stats.isDirectory() ? 'a directory' : stats.isFIFO() ? 'a FIFO' : 'a device';
  return `is ${type}, not a regular file: remove it`;
}

/** Returns the mode of a file or a directory; null when it does not exist, or is a symbolic link. */
export function modeOrNull(path: string): number | null {
  try {
    const stats = lstatSync(path);
    return stats.isSymbolicLink() ? null : stats.mode & 0o7777;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** Changes the mode of a file or a directory, never of what a symbolic link names. */
export function changeMode(path: string, mode: number): void {
  const file = openSync(path, readFlags | constants.O_NOFOLLOW);
  try {
    fchmodSync(file, mode);
  } finally {
    closeSync(file);
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
 * Adds text to the end of a file, or of the file that a symbolic link names, and makes it with this mode. Throws
 * WriteError.
 */
export function appendToFile(path: string, text: string, mode: number): void {
  try {
    const file = openSync(path, appendFlags, mode);
    try {
      const stats = fstatSync(file);
      if (!stats.isFile()) throw new Error(notRegular(stats));
      if ((stats.mode & 0o777) !== mode) fchmodSync(file, mode);
      writeAll(file, text);
    } finally {
      closeSync(file);
    }
  } catch (cause) {
    throw new WriteError(path, cause);
  }
}

function writeAll(file: number, content: string | Buffer): void {
  const bytes = typeof content === 'string' ? Buffer.from(content, 'utf8') : content;
  for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written);
}

/** Makes a directory, and those above it, unless they exist. Throws WriteError. */
export function makeDirectory(path: string, mode = 0o755): void {
  try {
    mkdirSync(path, { recursive: true, mode });
  } catch (cause) {
    throw new WriteError(path, cause, `${path} cannot be made`);
  }
}

/** Removes a file, if it exists. Throws WriteError. */
export function removeFile(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch (cause) {
    throw new WriteError(path, cause, `${path} cannot be removed`);
  }
}

/** A file's new text on disk, beside the file that it is to replace. */
export interface StagedFile {
  /** Puts the text in the place of the file; which of them is there after a power failure is open. */
  replace(): void;
  /** Puts the text in the place of the file, also after a power failure. */
  commit(): void;
  discard(): void;
}

/**
 * Replaces a file in one step: a reader sees the old text or the new, also after a power failure. Throws
 * WriteError when the new text cannot be stored, for example on a full disk.
 */
export function writeAtomically(path: string, content: string | Buffer, mode = 0o644): void {
  writeTogether([{ path, content }], mode);
}

/**
 * Replaces files in this order, each in one step, and waits once until their names are on disk. Replaces none when one
 * of the new texts cannot be stored. Throws WriteError.
 */
export function writeTogether(
  files: readonly { readonly path: string; readonly content: string | Buffer }[],
  mode: number,
): void {
  const staged: StagedFile[] = [];
  try {
    for (const { path, content } of files) staged.push(stageFile(path, content, mode));
    for (const file of staged) file.replace();
  } catch (error) {
    for (const file of staged) file.discard();
    throw error;
  }
  for (const directory of new Set(files.map(({ path }) => dirname(path)))) storeDurably(directory);
}

/** Stores a file's new text beside it. Throws WriteError, and so do `replace` and `commit`. */
export function stageFile(path: string, content: string | Buffer, mode = 0o644): StagedFile {
  const temporary = `${path}.${process.pid}.tmp`;
  const discard = () => {
    try {
      rmSync(temporary, { force: true });
    } catch {
      // On a file system that is read only, or that fails: the first error says so.
    }
  };
  const orDiscard = (work: () => void) => {
    try {
      work();
    } catch (cause) {
      discard();
      throw new WriteError(path, cause);
    }
  };
  orDiscard(() => {
    const file = createFile(temporary, mode);
    try {
      fchmodSync(file, mode);
      writeAll(file, content);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  });
  const replace = () => orDiscard(() => renameSync(temporary, path));
  const commit = () => {
    replace();
    storeDurably(dirname(path));
  };
  return { replace, commit, discard };
}

/** Makes a file's content, or the names in a directory, outlive a power failure. Throws WriteError. */
export function storeDurably(path: string): void {
  try {
    const file = openSync(path, constants.O_RDONLY);
    try {
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  } catch (cause) {
    throw new WriteError(path, cause);
  }
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

/** Removes the files that killed processes left in a directory, if that is possible: nothing reads them. */
export function removeDeadTemporaries(directory: string): void {
  for (const name of listDirectory(directory)) {
    const [, pid] = /\.(\d+)\.tmp$/.exec(name) ?? [];
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    try {
      rmSync(join(directory, name), { force: true });
    } catch {}
  }
}

/**
 * Returns whether an error of the file system means that the file or a directory of its path does not exist.
 */
export function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ENOTDIR';
}
