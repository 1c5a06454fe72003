// Recognizes a configuration that is not text in UTF-8. Editors of Windows write UTF-16. Pure.
import { shellQuoted } from '../text.ts';

/**
 * Returns what is wrong with the bytes of a file, and what to do; null where they may be UTF-8. A byte order mark of
 * UTF-8 does no harm.
 */
export function encodingProblem(bytes: Uint8Array, path: string): string | null {
  const encoding = utf16Of(bytes);
  if (encoding !== null) {
    const [file, converted] = [path, `${path}.utf8`].map(shellQuoted);
    return `is in ${encoding}, not UTF-8: iconv -f ${encoding} -t UTF-8 ${file} >${converted} && mv ${converted} ${file}`;
  }
  const offset = bytes.indexOf(0);
  return offset < 0 ? null : `has a NUL byte at offset ${offset}: remove it`;
}

/** Without a byte order mark, every second byte of a text that is mostly ASCII is NUL. */
function utf16Of(bytes: Uint8Array): string | null {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'UTF-16LE';
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return 'UTF-16BE';
  if (bytes.filter(byte => byte === 0).length * 4 <= bytes.length) return null;
  return bytes.indexOf(0) % 2 === 1 ? 'UTF-16LE' : 'UTF-16BE';
}
