// Reads files whose content can be made again: one that cannot be read, on a disk that breaks or because a directory
// or a FIFO is in its place, counts as missing.
import { readFileOrNull, readOwnFileOrNull } from './files.ts';

/** Returns the text of a file, as `readFileOrNull` does; null also where it cannot be read. */
export function readIfReadable(path: string): string | null {
  try {
    return readFileOrNull(path);
  } catch {
    return null;
  }
}

/** Returns the text of a file of virlan's, as `readOwnFileOrNull` does; null also where it cannot be read. */
export function readOwnIfReadable(path: string): string | null {
  try {
    return readOwnFileOrNull(path);
  } catch {
    return null;
  }
}
