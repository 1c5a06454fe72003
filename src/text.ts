// Text for people and for shells: quoting, shortening and neutralising text that others wrote.

/**
 * Returns hostile text in printable ASCII, cut to `maxLength` characters, as an error message may hold it.
 */
export function excerpt(text: string, maxLength: number): string {
  const printable = text.replace(/[^\x20-\x7e]/g, '?');
  return printable.length > maxLength ? `${printable.slice(0, maxLength - 3)}...` : printable;
}

/**
 * Returns hostile text as a terminal may show it: without control characters and changes of writing
 * direction.
 */
export function forTerminal(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?');
}

/** Returns a hostile name as one word for a POSIX shell. */
export function shellQuoted(name: string): string {
  return /^[\w.-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`;
}

/**
 * Returns a time in ISO 8601 without milliseconds: `2026-11-22T10:00:00Z`. A number is milliseconds since
 * 1970.
 */
export function isoSeconds(time: Date | number): string {
  return new Date(time).toISOString().replace(/\.\d+Z$/, 'Z');
}
