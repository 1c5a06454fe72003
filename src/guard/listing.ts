// Reads what `nft --stateless --numeric list table` prints of the guard's table. Pure.
//
//   table bridge virlan-k8s-br0 {
//     map ports {
//       type ifname : verdict
//       elements = { "vnet0" : goto others,
//                    "vnet1" : goto strict }
import { formatIp, ipv4After, parseAddressWithPrefix } from '../address/ip.ts';
import { type Elements, mapSets } from './elements.ts';

export interface GuardListing {
  /** The table without elements: declarations and rules. No line if there is no table. */
  readonly lines: readonly string[];
  readonly elements: Elements;
}

/** Reads a listing; an empty one if there is no table. */
export function parseGuardListing(text: string): GuardListing {
  const lines: string[] = [];
  const found = new Map<string, Set<string>>();
  let set = '';
  /** The lines so far of a list of elements that goes on. */
  let open: string[] | null = null;
  for (const line of text.split('\n')) {
    const [, name] = /^\t(?:set|map) (\S+) \{/.exec(line) ?? [];
    if (name !== undefined) set = name;
    if (open === null && !line.startsWith('\t\telements = {')) {
      if (line.trim() !== '') lines.push(line);
      continue;
    }
    open ??= [];
    open.push(line.replace('elements = {', '').trim());
    if (!line.endsWith('}')) continue;
    found.set(set, new Set(readElements(open.join(' ').slice(0, -1))));
    open = null;
  }
  return { lines, elements: mapSets(name => found.get(name) ?? new Set()) };
}

function readElements(text: string): string[] {
  return text
    .split(',')
    .map(element => element.trim())
    .filter(element => element !== '')
    .map(canonical);
}

/** nft writes a range as a prefix where it is one, and small numbers in another form. */
function canonical(element: string): string {
  const parts = element.split(' . ');
  const last = parts.at(-1) ?? '';
  const prefix = parseAddressWithPrefix(last);
  if (prefix !== null && typeof prefix.address === 'number') {
    const end = ipv4After(prefix.address, 2 ** (32 - prefix.length) - 1);
    return [...parts.slice(0, -1), `${formatIp(prefix.address)}-${formatIp(end)}`].join(' . ');
  }
  if (/^(0x[0-9a-f]+|\d+)$/.test(last))
    return [...parts.slice(0, -1), `0x${BigInt(last).toString(16)}`].join(' . ');
  return element;
}
