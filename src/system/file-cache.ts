// Keeps what was read of files until they are replaced.
import { statSync } from 'node:fs';
import { isMissing } from './files.ts';

/**
 * Returns a text that changes when a file is replaced or written; null when it does not exist.
 */
function versionOf(path: string): string | null {
  try {
    // An error that is thrown costs several times as much as the call, and most machines have one file of two.
    const stats = statSync(path, { throwIfNoEntry: false });
    return stats === undefined ? null : `${stats.ino} ${stats.mtimeMs} ${stats.size}`;
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
