// Reads what the guard has dropped from the counters of `nft --numeric list table`. Pure.
//
//   set deny_addr4 {
//     elements = { "vnet0" . 192.168.100.20 counter packets 3 bytes 84 expires 3599s }
import { type IpAddress, parseIp } from '../address/ip.ts';
import { type Mac, parseMac } from '../address/mac.ts';
import { type Denial, denials } from './denials.ts';

/** The MAC or address used that belongs to somebody else; null for frames that are never allowed. */
export type DeniedValue =
  | { readonly kind: 'mac'; readonly mac: Mac }
  | { readonly kind: 'address'; readonly ip: IpAddress };

/** Frames of one tap that were dropped for one reason, within the last hour or so. */
export interface Denied {
  readonly tap: string;
  readonly denial: Denial;
  readonly value: DeniedValue | null;
  readonly frames: number;
}

/** Reads the counters, the most frames first. */
export function parseDenied(text: string): Denied[] {
  const found: Denied[] = [];
  let denial: Denial | null = null;
  for (const line of text.split('\n')) {
    const [, set] = /^\t(?:set|map) (\S+) \{/.exec(line) ?? [];
    if (set !== undefined) denial = denials.find(each => set === `deny_${each}`) ?? null;
    if (denial === null) continue;
    for (const [, tap = '', value, frames] of line.matchAll(counter))
      found.push({
        tap,
        denial,
        value: value === undefined ? null : readValue(value, denial),
        frames: Number(frames),
      });
  }
  return found.sort((a, b) => b.frames - a.frames);
}

/** An element of one line: its tap, its value if it has one, and its count. */
const counter = /"([^"]+)"(?: \. (\S+))?(?: [^",{}]*?)? counter packets (\d+)/g;

/** Reads an address of IPv4, or a number: a MAC, or an address of IPv6. */
function readValue(text: string, denial: Denial): DeniedValue | null {
  const ip = parseIp(text);
  if (ip !== null) return { kind: 'address', ip };
  if (!/^(0x[0-9a-f]+|\d+)$/.test(text)) return null;
  const number = BigInt(text);
  if (denial === 'addr6') return { kind: 'address', ip: number as IpAddress };
  const pairs = number.toString(16).padStart(12, '0').match(/../g)?.join(':') ?? '';
  const mac = parseMac(pairs);
  return mac === null ? null : { kind: 'mac', mac };
}
