// Aliases: further names of a machine, as its owner writes them: `api`, `*.apps`, `api.k8s-br0.internal`.
import { isLabel } from './label.ts';

/** Names that hosts use without asking who has them, or that mean the host itself. */
const special = new Set(['host', 'localhost', 'wpad', 'isatap', 'gateway', '_gateway', 'localdomain']);

/**
 * The reason why an alias cannot be served for any machine: it is not a host name, has a special meaning, or has
 * a dot and is outside of the domain.
 */
export type AliasFault = 'invalid' | 'special' | 'outside';

/** An alias in the form that is kept: `api`, `*.apps`, or `*` for all names below the machine's own. */
export type ParsedAlias =
  | { readonly ok: true; readonly alias: string }
  | { readonly ok: false; readonly fault: AliasFault };

/** Splits a list of aliases at spaces and commas. */
export function splitAliases(text: string): string[] {
  return text.split(/[\s,]+/).filter(word => word !== '');
}

/** Reads an alias on a network with this domain. */
export function parseAlias(text: string, domain: string): ParsedAlias {
  const lower = text.toLowerCase();
  if (isAlias(lower)) return { ok: true, alias: lower };
  const name = lower.endsWith(`.${domain}`) ? lower.slice(0, -domain.length - 1) : lower;
  if (special.has(name)) return { ok: false, fault: 'special' };
  if (!name.startsWith('*') && isAlias(name)) return { ok: true, alias: name };
  return { ok: false, fault: !name.startsWith('*') && name.includes('.') ? 'outside' : 'invalid' };
}

/** Returns whether a text has the form in which aliases are kept. */
export function isAlias(text: string): boolean {
  return text === '*' || isPlain(text.startsWith('*.') ? text.slice(2) : text);
}

function isPlain(text: string): boolean {
  return isLabel(text) && !special.has(text);
}

/** Returns whether an alias stands for all names below one. */
export function isWildcard(alias: string): boolean {
  return alias.startsWith('*');
}

/** Returns the name that a wildcard alias of a machine covers, with all names below it: `apps.web`. */
export function wildcardName(alias: string, hostname: string): string {
  return alias === '*' ? hostname : `${alias.slice(2)}.${hostname}`;
}
