// Changes the forwards in the text of a machine's metadata, as libvirt passes it, without namespaces:
//   <machine mac="keep"><forward port="8443" to="443"/></machine>
// All else in it stays as it is.
import { SaxesParser } from 'saxes';
import { formatIp, formatPrefix } from '../address/ip.ts';
import { type Forward, formatForward, formatSpan } from '../config/forward.ts';
import { messageOf, VirlanError } from '../errors.ts';
import { localName } from '../libvirt/xml.ts';
import { readElement } from './wishes.ts';

/** The changed text, and for each forward whether the text had it. */
export interface ChangedMetadata {
  readonly text: string;
  readonly found: readonly boolean[];
}

/** Returns the text of metadata with forwards added. Throws VirlanError 'unreadable-xml'. */
export function addForwards(text: string, forwards: readonly Forward[]): ChangedMetadata {
  const { elements, root } = readMetadata(text);
  const found = forwards.map(each => elements.some(({ forward }) => forward === formatForward(each)));
  const added = forwards.filter((_, index) => found[index] !== true).map(elementOf);
  if (added.length === 0) return { text, found };
  const content = added.join('');
  const end = root.isSelfClosing ? `>${content}</${root.name}>` : content;
  const after = root.isSelfClosing ? root.contentEnd + '/>'.length : root.contentEnd;
  return { text: `${text.slice(0, root.contentEnd)}${end}${text.slice(after)}`, found };
}

/** Returns the text of metadata with forwards removed. Throws VirlanError 'unreadable-xml'. */
export function removeForwards(text: string, forwards: readonly Forward[]): ChangedMetadata {
  const { elements } = readMetadata(text);
  const wanted = forwards.map(formatForward);
  const removed = elements.filter(({ forward }) => forward !== null && wanted.includes(forward)).reverse();
  return {
    text: removed.reduce((rest, { start, end }) => `${rest.slice(0, start)}${rest.slice(end)}`, text),
    found: wanted.map(each => elements.some(({ forward }) => forward === each)),
  };
}

interface Metadata {
  /** `contentEnd`: the place of its end tag, or of the `/>` that it ends with. */
  readonly root: { readonly name: string; readonly contentEnd: number; readonly isSelfClosing: boolean };
  /** The elements of forwards, in order; `forward` is null for one that is not valid. */
  readonly elements: readonly {
    readonly start: number;
    readonly end: number;
    readonly forward: string | null;
  }[];
}

function readMetadata(text: string): Metadata {
  const parser = new SaxesParser();
  const open: { readonly name: string; readonly start: number }[] = [];
  const elements: { start: number; end: number; forward: string | null }[] = [];
  let root: Metadata['root'] | null = null;
  parser.on('error', error => {
    throw error;
  });
  parser.on('opentag', ({ name }) => {
    // An attribute holds no "<".
    open.push({ name, start: text.lastIndexOf('<', parser.position - 1) });
  });
  parser.on('closetag', tag => {
    const { name = '', start = 0 } = open.pop() ?? {};
    const end = parser.position;
    const { isSelfClosing } = tag;
    if (open.length === 0) {
      const contentEnd = isSelfClosing ? end - '/>'.length : text.lastIndexOf('</', end - 1);
      root = { name, contentEnd, isSelfClosing };
    } else if (open.length === 1 && localName(name) === 'forward') {
      const read = readElement({ attributes: new Map(Object.entries(tag.attributes)) });
      elements.push({ start, end, forward: read.ok ? formatForward(read.forward) : null });
    }
  });
  try {
    parser.write(text).close();
  } catch (cause) {
    const message = `the machine's metadata cannot be read: ${messageOf(cause)}`;
    throw new VirlanError('unreadable-xml', message, { cause });
  }
  if (root === null) throw new VirlanError('unreadable-xml', "the machine's metadata has no element");
  return { root, elements };
}

function elementOf({ protocol, first, last, to, address, from }: Forward): string {
  return [
    '<forward',
    protocol === 'tcp' ? '' : ` protocol="${protocol}"`,
    ` port="${formatSpan({ first, last })}"`,
    to === first ? '' : ` to="${formatSpan({ first: to, last: to + last - first })}"`,
    address === null ? '' : ` address="${formatIp(address)}"`,
    from === null ? '' : ` from="${formatPrefix(from)}"`,
    '/>',
  ].join('');
}
