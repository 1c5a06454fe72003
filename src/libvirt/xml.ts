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

/**
 * Walks an XML document. Names have no prefix. Entities of a DTD are an error: they could grow without limit.
 */
export function walkXml(xml: string, visitor: Visitor): Result<null> {
  if (xml.length > maxLength)
    return { ok: false, error: `XML of ${xml.length} bytes, libvirt's own limit is ${maxLength}` };
  const parser = new SaxesParser({ xmlns: true });
  const open: { path: string; text: string }[] = [];
  const addText = (text: string) => {
    const element = open.at(-1);
    if (element !== undefined) element.text += text;
  };
  parser.on('error', error => {
    throw error;
  });
  parser.on('opentag', tag => {
    if (open.length === maxDepth) throw new Error(`more than ${maxDepth} elements deep`);
    const path = open.length === 0 ? tag.local : `${open.at(-1)?.path}/${tag.local}`;
    open.push({ path, text: '' });
    const attributes = Object.values(tag.attributes).map(({ local, value }) => [local, value] as const);
    visitor.open?.(path, new Map(attributes), tag.uri);
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
