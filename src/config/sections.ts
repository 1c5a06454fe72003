import { parse as parseIni } from 'ini';
import { excerpt } from '../text.ts';
import type { ConfigProblem } from './config.ts';

/** A key of a section and where it stands. */
export interface Entry {
  readonly value: string;
  readonly line: number;
}

/** Longest part of a line that an error message repeats. */
export const maxExcerpt = 60;

export interface Section {
  readonly kind: 'network' | 'host';
  readonly name: string;
  readonly line: number;
  readonly entries: ReadonlyMap<string, Entry>;
}

/**
 * Splits virlan.ini into its sections. `ini` decodes each line (quotes, escapes, comments); the walk over the lines is
 * ours because `ini` forgets line numbers, takes the last of two equal keys in silence, does not know a section's
 * header with a comment behind it, and makes dots in a name into nested sections.
 */
export function readSections(text: string): { sections: Section[]; problems: ConfigProblem[] } {
  const sections: (Section & { entries: Map<string, Entry> })[] = [];
  const problems: ConfigProblem[] = [];
  let inBrokenSection = false;

  for (const [index, raw] of text.split(/\r\n|\r|\n/).entries()) {
    const line = index + 1;
    // A byte order mark goes with the white space.
    const trimmed = raw.trim();
    if (trimmed === '' || /^[;#]/.test(trimmed)) continue;

    if (trimmed.startsWith('[')) {
      const section = readHeader(trimmed, line, sections);
      inBrokenSection = 'message' in section;
      if ('message' in section) problems.push(section);
      else sections.push(section);
      continue;
    }
    if (inBrokenSection) continue;

    const [key = '', value = true] = Object.entries(parseIni(trimmed, { bracketedArray: false }))[0] ?? [];
    const entries = sections.at(-1)?.entries;
    const before = entries?.get(key);
    if (entries === undefined) {
      problems.push({
        line,
        what: excerpt(trimmed, maxExcerpt),
        message: 'stands before any section: put it below a [network.NAME] line',
      });
    } else if (key === '' || (value === true && !trimmed.includes('='))) {
      problems.push({
        line,
        what: excerpt(trimmed, maxExcerpt),
        message: 'is no setting: write KEY = VALUE',
      });
    } else if (before !== undefined) {
      problems.push({
        line,
        what: excerpt(key, maxExcerpt),
        message: `is there twice, first in line ${before.line}: keep one of them`,
      });
    } else {
      entries.set(key, { value: String(value), line });
    }
  }
  return { sections, problems };
}

function readHeader(
  text: string,
  line: number,
  earlier: readonly Section[],
): (Section & { entries: Map<string, Entry> }) | ConfigProblem {
  const [, header] = /^\[([^\]]*)\]\s*([;#].*)?$/.exec(text) ?? [];
  const [, kind, written] = /^(network|host)\.([A-Za-z0-9_-]+)$/.exec(header?.trim() ?? '') ?? [];
  if ((kind !== 'network' && kind !== 'host') || written === undefined) {
    const message =
      'is no section: write [network.NAME] or [host.NAME], with letters, digits, "-" and "_" in the name';
    return { line, what: excerpt(text, maxExcerpt), message };
  }
  // A link's name has upper and lower case, a host's has not.
  const name = kind === 'host' ? written.toLowerCase() : written;
  const twin = earlier.find(section => section.kind === kind && section.name === name);
  if (twin !== undefined) {
    return {
      line,
      what: `[${kind}.${name}]`,
      message: `is there twice, first in line ${twin.line}: make them one`,
    };
  }
  return { kind, name, line, entries: new Map() };
}
