// Walks XML from libvirt. Parts of it were chosen by others and are hostile, so length and depth are limited.
import { SaxesParser } from 'saxes';
import type { Result } from '../result.ts';

/** The longest string that libvirt passes (REMOTE_STRING_MAX in remote_protocol.x), in characters. */
const maxLength = 4_194_304;

/** The limit of libxml2, which libvirt reads XML with (xmlParserMaxDepth in its parserInternals.h). */
const maxDepth = 256;

export interface Visitor {
  /**
   * Called when an element begins. `path`: local names from the root, joined by "/". Attributes: by local
   * name.
   */
  open?(path: string, attributes: ReadonlyMap<string, string>, namespace: string): void;
  close?(path: string): void;
  /** Called right before `close`, with all text directly within the element, entities resolved. */
  text?(path: string, text: string): void;
}

interface OpenElement {
  readonly path: string;
  text: string;
  /** The namespaces that the element itself declares: prefix → URI. */
  readonly declared: ReadonlyMap<string, string>;
}

/** Returns the namespaces that attributes declare: `xmlns:virlan="urn:virlan:machine:1"`. */
function declaredIn(attributes: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(attributes).flatMap(([name, uri]) => {
      if (name === 'xmlns') return [['', uri] as const];
      return prefixOf(name) === 'xmlns' ? [[localName(name), uri] as const] : [];
    }),
  );
}

/** Returns the prefix of a name; an empty one where it has none. */
function prefixOf(name: string): string {
  return name.includes(':') ? name.slice(0, name.indexOf(':')) : '';
}

/**
 * Returns a name without its prefix, and without a second one: libvirt writes its prefix before the name in what
 * `virsh metadata --key virlan --set '<virlan:machine/>'` passes, and accepts that as it accepts prefixes without a
 * namespace.
 */
export function localName(name: string): string {
  return name.slice(name.lastIndexOf(':') + 1);
}

/**
 * Walks an XML document. Names have no prefix. Entities of a DTD are an error: they could grow without limit.
 */
export function walkXml(xml: string, visitor: Visitor): Result<null> {
  if (xml.length > maxLength)
    return { ok: false, error: `XML of ${xml.length} bytes, libvirt's own limit is ${maxLength}` };
  const parser = new SaxesParser();
  const open: OpenElement[] = [];
  const addText = (text: string) => {
    const element = open.at(-1);
    if (element !== undefined) element.text += text;
  };
  parser.on('error', error => {
    throw error;
  });
  parser.on('opentag', ({ name, attributes }) => {
    if (open.length === maxDepth) throw new Error(`more than ${maxDepth} elements deep`);
    const parent = open.at(-1);
    const path = parent === undefined ? localName(name) : `${parent.path}/${localName(name)}`;
    open.push({ path, text: '', declared: declaredIn(attributes) });
    const prefix = prefixOf(name);
    const scope = open.findLast(({ declared }) => declared.has(prefix));
    const values = Object.entries(attributes).map(([key, value]) => [localName(key), value] as const);
    visitor.open?.(path, new Map(values), scope?.declared.get(prefix) ?? '');
  });
  parser.on('text', addText);
  parser.on('cdata', addText);
  parser.on('closetag', () => {
    const element = open.pop();
    if (element === undefined) return;
    visitor.text?.(element.path, element.text);
    visitor.close?.(element.path);
  });
  try {
    parser.write(xml).close();
    return { ok: true, value: null };
  } catch (error) {
    return { ok: false, error: `not XML: ${(error as Error).message}` };
  }
}
