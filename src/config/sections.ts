// Splits the text of virlan.ini into sections:
//   [network.k8s-br0]   ; a comment
//   mtu = 1500
import { parse as parseIni } from 'ini';
import { excerpt } from '../text.ts';
import type { ConfigProblem } from './config.ts';

/** The value of a key, and its line. */
export interface Entry {
  readonly value: string;
  readonly line: number;
}

/** Longest part of a line that an error message repeats, in characters. */
export const maxExcerptLength = 60;

export interface Section {
  readonly kind: 'network' | 'host' | 'machine' | 'cluster' | 'watcher';
  /** Empty for a section of which there is one. */
  readonly name: string;
  readonly line: number;
  readonly entries: ReadonlyMap<string, Entry>;
}

/** Returns the header of a section: `[network.k8s-br0]`. */
export function formatHeader({ kind, name }: Pick<Section, 'kind' | 'name'>): string {
  return name === '' ? `[${kind}]` : `[${kind}.${name}]`;
}

/**
 * Returns the sections, and the problems of single lines. The package `ini` only decodes lines here (quotes,
 * escapes, comments). It cannot parse the whole file, because it drops line numbers, silently takes the last
 * of two equal keys, does not accept a comment behind a header, and turns dots in a header into nested
 * sections.
 */
export function readSections(text: string): { sections: Section[]; problems: ConfigProblem[] } {
  const sections: (Section & { entries: Map<string, Entry> })[] = [];
  const problems: ConfigProblem[] = [];
  let inBrokenSection = false;

  for (const [index, raw] of text.split(/\r\n|\r|\n/).entries()) {
    const line = index + 1;
    // This removes a byte order mark too.
    const trimmed = raw.trim();
    if (trimmed === '' || /^[;#]/.test(trimmed)) continue;

    if (trimmed.startsWith('[')) {
      const header = readHeader(trimmed, line, sections);
      inBrokenSection = !header.ok;
      if (header.ok) sections.push({ ...header.section, line, entries: new Map() });
      else problems.push(header.problem);
      continue;
    }
    if (inBrokenSection) continue;

    const [key = '', value = true] = Object.entries(parseIni(trimmed, { bracketedArray: false }))[0] ?? [];
    const entries = sections.at(-1)?.entries;
    const earlier = entries?.get(key);
    if (entries === undefined) {
      problems.push({
        line,
        what: excerpt(trimmed, maxExcerptLength),
        message: 'is not in a section: put it below a [network.NAME] line',
      });
    } else if (key === '' || (value === true && !trimmed.includes('='))) {
      problems.push({
        line,
        what: excerpt(trimmed, maxExcerptLength),
        message: 'is not a setting: write KEY = VALUE',
      });
    } else if (earlier !== undefined) {
      problems.push({
        line,
        what: excerpt(key, maxExcerptLength),
        message: `is set twice, first in line ${earlier.line}: keep one of them`,
      });
    } else {
      entries.set(key, { value: String(value), line });
    }
  }
  return { sections, problems };
}

/** A header or its problem. The discriminant is `ok`, as in result.ts. */
type Header =
  | { readonly ok: true; readonly section: Pick<Section, 'kind' | 'name'> }
  | { readonly ok: false; readonly problem: ConfigProblem };

function readHeader(text: string, line: number, earlier: readonly Section[]): Header {
  const [, header] = /^\[([^\]]*)\]\s*([;#].*)?$/.exec(text) ?? [];
  const found = readName(header?.trim() ?? '');
  if (found === null) {
    const message =
      'is not a section header: write [network.NAME] or [host.NAME], with letters, digits, "-" and "_" in NAME, [machine.NAME], [cluster] or [watcher]';
    return { ok: false, problem: { line, what: excerpt(text, maxExcerptLength), message } };
  }
  const { kind, name } = found;
  const duplicate = earlier.find(section => section.kind === kind && section.name === name);
  if (duplicate !== undefined) {
    const message = `exists twice, first in line ${duplicate.line}: merge the two sections`;
    return { ok: false, problem: { line, what: formatHeader(found), message } };
  }
  return { ok: true, section: { kind, name } };
}

function readName(header: string): Pick<Section, 'kind' | 'name'> | null {
  if (header === 'cluster' || header === 'watcher') return { kind: header, name: '' };
  const [, kind, name] =
    /^(network|host|machine)\.([A-Za-z0-9_-]+|(?<=^machine\.)\S(?:.*\S)?)$/.exec(header) ?? [];
  if ((kind !== 'network' && kind !== 'host' && kind !== 'machine') || name === undefined) return null;
  // Names of interfaces are case sensitive, host names are not.
  return { kind, name: kind === 'host' ? name.toLowerCase() : name };
}
