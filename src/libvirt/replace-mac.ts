// Replaces MACs in a domain's XML and nothing else.
import { SaxesParser } from 'saxes';
import type { Mac } from '../address/mac.ts';
import { VirlanError } from '../errors.ts';

/**
 * Returns a domain's XML with other MACs: place among its interfaces, from 0 in XML order → new MAC. The rest
 * stays byte for byte, so that no element of libvirt or of other tools is lost. Throws VirlanError
 * 'unreadable-xml' when such an interface has no `<mac>`.
 */
export function replaceMacs(xml: string, macs: ReadonlyMap<number, Mac>): string {
  const spans = findMacs(xml);
  let result = xml;
  for (const [place, mac] of [...macs].sort(([a], [b]) => b - a)) {
    const span = spans.get(place);
    if (span === undefined) {
      const message = `interface ${place} of the domain has no <mac address=…>`;
      throw new VirlanError('unreadable-xml', message);
    }
    result = `${result.slice(0, span.start)}${mac}${result.slice(span.end)}`;
  }
  return result;
}

/** Returns index of an interface → position of the value of its `<mac address>` in the text. */
function findMacs(xml: string): Map<number, { start: number; end: number }> {
  const parser = new SaxesParser();
  const spans = new Map<number, { start: number; end: number }>();
  const path: string[] = [];
  let place = -1;
  parser.on('error', error => {
    throw error;
  });
  parser.on('opentagstart', tag => {
    path.push(tag.name);
    if (path.join('/') === 'domain/devices/interface') place++;
  });
  parser.on('attribute', ({ name, value }) => {
    if (name !== 'address' || path.join('/') !== 'domain/devices/interface/mac') return;
    // The parser stands behind the value's closing quote.
    const end = parser.position - 1;
    const start = end - value.length;
    if (xml.slice(start, end) === value) spans.set(place, { start, end });
  });
  parser.on('closetag', () => {
    path.pop();
  });
  parser.write(xml).close();
  return spans;
}
