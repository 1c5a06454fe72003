// The BGP instance of a host, as FRR shows it: its neighbours, and what they carry. Pure. A sample is in bgp.ts.
import { formatIp, type Ipv4 } from '../address/ip.ts';

/** A line in the block of a BGP instance; `family` is null outside of its address families. */
export interface BgpLine {
  readonly family: string | null;
  readonly text: string;
}

/** The BGP instance of the host itself. The texts of its lines are the administrator's. */
export interface BgpInstance {
  readonly as: number;
  readonly lines: readonly BgpLine[];
}

/** The address family by which hosts tell each other where machines are. */
export const evpn = 'l2vpn evpn';

/** The family that a neighbour carries by default. */
const unicast = 'ipv4 unicast';

/** Reads the block of the host's own instance, not those of VRFs; null if there is none. */
export function parseInstance(config: string): BgpInstance | null {
  const lines: BgpLine[] = [];
  let as: number | null = null;
  let family: string | null = null;
  let isInside = false;
  for (const raw of config.split('\n')) {
    const text = raw.trim();
    const [, number] = /^router bgp (\S+)(?: as-notation \S+)?$/.exec(raw.trimEnd()) ?? [];
    if (number !== undefined) {
      as = parseAs(number);
      family = null;
      isInside = true;
    } else if (!/^\s/.test(raw) && text !== '!' && text !== '') isInside = false;
    else if (isInside && text.startsWith('address-family ')) family = text.slice('address-family '.length);
    else if (isInside && text === 'exit-address-family') family = null;
    else if (isInside && text !== '!' && text !== '') lines.push({ family, text });
  }
  return as === null ? null : { as, lines };
}

/** Reads the number of an AS, as `65000` or `1.10`. */
function parseAs(text: string): number | null {
  const [, high, low] = /^(\d{1,5})\.(\d{1,5})$/.exec(text) ?? [];
  if (high !== undefined) return Number(high) * 65_536 + Number(low);
  return /^\d{1,10}$/.test(text) ? Number(text) : null;
}

/**
 * Returns the families that a new neighbour carries. FRR shows what a neighbour carries only where that differs.
 */
export function defaultFamilies(instance: BgpInstance | null): string[] {
  const texts = (instance?.lines ?? []).filter(({ family }) => family === null).map(({ text }) => text);
  // `bgp default ipv6-unicast`, but not `bgp default local-preference 100`.
  const more = texts.flatMap(text => {
    const [, protocol, kind] = /^bgp default (ipv4|ipv6|l2vpn)-(\S+)$/.exec(text) ?? [];
    return protocol === undefined ? [] : [`${protocol} ${kind}`];
  });
  return [...(texts.includes('no bgp default ipv4-unicast') ? [] : [unicast]), ...more];
}

/** Returns whether a neighbour, or a peer group, carries a family; one that does not exist yet, as a new one would. */
export function carries(instance: BgpInstance | null, name: string, family: string): boolean {
  const says = (text: string) => instance?.lines.some(line => isSame(line, { family, text })) === true;
  if (says(`neighbor ${name} activate`)) return true;
  if (says(`no neighbor ${name} activate`)) return false;
  const group = instance === null ? null : groupOf(instance, name);
  return group === null ? defaultFamilies(instance).includes(family) : carries(instance, group, family);
}

/** Returns whether there is a neighbour of an address. */
export function isNeighbour({ lines }: BgpInstance, address: Ipv4): boolean {
  return lines.some(({ text }) => text.startsWith(`neighbor ${formatIp(address)} `));
}

/** Returns the peer group that a neighbour is in; null for none. */
export function groupOf({ lines }: BgpInstance, neighbour: string): string | null {
  const start = `neighbor ${neighbour} peer-group `;
  return lines.find(({ text }) => text.startsWith(start))?.text.slice(start.length) ?? null;
}

export function isSame(a: BgpLine, b: BgpLine): boolean {
  return a.family === b.family && a.text === b.text;
}
