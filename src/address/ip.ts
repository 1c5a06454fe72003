// IPv4 and IPv6 addresses and prefixes as plain values: compared with ===, computed by arithmetic.
import ipaddr from 'ipaddr.js';

declare const ipv4Brand: unique symbol;
declare const ipv6Brand: unique symbol;

/** The families of addresses. */
export const families = ['ipv4', 'ipv6'] as const;

export type Family = (typeof families)[number];

/** An IPv4 address as an unsigned 32-bit number in host order. */
export type Ipv4 = number & { readonly [ipv4Brand]: true };

/** An IPv6 address as an unsigned 128-bit number. JSON cannot hold a bigint: write `formatIp` there. */
export type Ipv6 = bigint & { readonly [ipv6Brand]: true };

export type IpAddress = Ipv4 | Ipv6;

/** A network: its lowest address and the length of its prefix in bits (0 to 32, or to 128). */
export interface Prefix<Address extends IpAddress = IpAddress> {
  readonly network: Address;
  readonly length: number;
}

/** First and last address, both included. */
export interface Ipv4Range {
  readonly first: Ipv4;
  readonly last: Ipv4;
}

/** Length of an address in bits. */
const addressBits: Readonly<Record<Family, number>> = { ipv4: 32, ipv6: 128 };

const dottedQuad = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/;

/** Returns the family of an address. */
export function familyOf(address: IpAddress): Family {
  return typeof address === 'number' ? 'ipv4' : 'ipv6';
}

/**
 * Reads four decimal numbers without leading zeros (which some programs take as octal); null for anything
 * else.
 */
export function parseIpv4(text: string): Ipv4 | null {
  const octets = dottedQuad.exec(text)?.slice(1).map(Number);
  if (octets === undefined || octets.some(octet => octet > 255)) return null;
  return octets.reduce((address, octet) => address * 256 + octet, 0) as Ipv4;
}

/** Reads an IPv6 address in any notation of RFC 4291, without a zone; null for anything else. */
export function parseIpv6(text: string): Ipv6 | null {
  if (!text.includes(':') || text.includes('%') || !ipaddr.IPv6.isValid(text)) return null;
  const bytes = ipaddr.IPv6.parse(text).toByteArray();
  return bytes.reduce((address, byte) => address * 256n + BigInt(byte), 0n) as Ipv6;
}

/** Reads an address of either family; null for anything else. */
export function parseIp(text: string): IpAddress | null {
  return parseIpv4(text) ?? parseIpv6(text);
}

/** Returns a dotted quad, or the canonical IPv6 notation of RFC 5952. */
export function formatIp(address: IpAddress): string {
  if (typeof address === 'number') return [24, 16, 8, 0].map(shift => (address >>> shift) & 0xff).join('.');
  const groups = Array.from({ length: 8 }, (_, index) =>
    Number((address >> BigInt(112 - 16 * index)) & 0xffffn),
  );
  return new ipaddr.IPv6(groups).toRFC5952String();
}

/** Returns the address `count` places after this one. */
export function ipv4After(address: Ipv4, count: number): Ipv4 {
  return ((address + count) >>> 0) as Ipv4;
}

/** Reads `ADDRESS/LENGTH` of either family, host bits allowed (see `prefixOf`); null for anything else. */
export function parseAddressWithPrefix(text: string): { address: IpAddress; length: number } | null {
  const [, written = '', bits = ''] = /^([\da-fA-F.:]+)\/(0|[1-9]\d{0,2})$/.exec(text) ?? [];
  const address = parseIp(written);
  return address === null || Number(bits) > addressBits[familyOf(address)]
    ? null
    : { address, length: Number(bits) };
}

/** Returns the network of an address with this prefix length. */
export function prefixOf<Address extends IpAddress>(address: Address, length: number): Prefix<Address>;
export function prefixOf(address: IpAddress, length: number): Prefix {
  if (typeof address === 'number') {
    const size = 2 ** (32 - length);
    return { network: (Math.floor(address / size) * size) as Ipv4, length };
  }
  const hostBits = BigInt(128 - length);
  return { network: ((address >> hostBits) << hostBits) as Ipv6, length };
}

/** Returns `ADDRESS/LENGTH`. */
export function formatPrefix({ network, length }: Prefix): string {
  return `${formatIp(network)}/${length}`;
}

/** Returns the highest address of a subnet. */
export function broadcastOf(subnet: Prefix<Ipv4>): Ipv4 {
  return ipv4After(subnet.network, 2 ** (32 - subnet.length) - 1);
}

/** Returns whether an address is one of a subnet's hosts: not the subnet's own, nor the broadcast address. */
export function isHostOf(subnet: Prefix<Ipv4>, address: Ipv4): boolean {
  return prefixContains(subnet, address) && address !== subnet.network && address !== broadcastOf(subnet);
}

/** Returns the netmask of a subnet: 255.255.255.0 for /24. */
export function netmaskOf(subnet: Prefix<Ipv4>): Ipv4 {
  return (2 ** 32 - 2 ** (32 - subnet.length)) as Ipv4;
}

/** Returns whether a network contains an address; false for the other family. */
export function prefixContains({ network, length }: Prefix, address: IpAddress): boolean {
  return prefixOf(address, length).network === network;
}

/** Returns whether two networks share an address; false for different families. */
export function prefixesOverlap(a: Prefix, b: Prefix): boolean {
  if (familyOf(a.network) !== familyOf(b.network)) return false;
  return a.length <= b.length ? prefixContains(a, b.network) : prefixContains(b, a.network);
}

/** Returns whether a range contains an address. */
export function rangeContains(range: Ipv4Range, address: Ipv4): boolean {
  return address >= range.first && address <= range.last;
}
