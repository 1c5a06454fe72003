// SHA-256, for formulas and labels.

/** Returns the SHA-256 of a text's UTF-8 bytes. node:crypto takes 2 ms to load: a known machine does not need it. */
export function digest(text: string): Buffer {
  return process.getBuiltinModule('node:crypto').createHash('sha256').update(text, 'utf8').digest();
}
