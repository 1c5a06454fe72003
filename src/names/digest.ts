// SHA-256, the base of labels, MACs and addresses.
import { sha256 } from '@noble/hashes/sha2.js';

/**
 * Returns the SHA-256 of a text's UTF-8 bytes. node:crypto would take 5 ms to load, and a machine's start
 * waits.
 */
export function digest(text: string): Buffer {
  return Buffer.from(sha256(Buffer.from(text)));
}
