import { SaxesParser } from 'saxes';
import type { Result } from '../result.ts';

/** libvirt itself passes no longer string (REMOTE_STRING_MAX in remote_protocol.x). */
const longest = 4_194_304;

/** libxml2, which libvirt reads XML with, goes no deeper (xmlParserMaxDepth in its parserInternals.h). */
const deepest = 256;

export interface Visitor {
  /** An element begins. `path` holds the local names from the root, joined by "/"; attributes go by local name. */
  open?(path: string, attributes: ReadonlyMap<string, string>, namespace: string): void;
  close?(path: string): void;
  /** All the text directly within an element, entities resolved. */
  text?(path: string, text: string): void;
}

/** Walks an XML document of libvirt's. Entities of a DTD are not resolved, so that none can grow; names keep no prefix. */
export function walkXml(xml: string, visitor: Visitor): Result<null> {
  if (xml.length > longest)
    return { ok: false, error: `XML of ${xml.length} bytes, libvirt's own limit is ${longest}` };
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
    if (open.length === deepest) throw new Error(`elements within elements, more than ${deepest} deep`);
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
