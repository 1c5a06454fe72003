declare const ipv4Brand: unique symbol;

/** An IPv4 address as an unsigned 32-bit number in host order, so that a pool is plain arithmetic. */
export type Ipv4 = number & { readonly [ipv4Brand]: true };

/** An IPv4 network: its lowest address and its prefix length in bits (0 to 32). */
export interface Subnet {
  readonly network: Ipv4;
  readonly prefix: number;
}

/** First and last address, both included. */
export interface Ipv4Range {
  readonly first: Ipv4;
  readonly last: Ipv4;
}

const dottedQuad = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/;

/** Reads four decimal numbers without leading zeros (which some programs take as octal); null for anything else. */
export function parseIpv4(text: string): Ipv4 | null {
  const octets = dottedQuad.exec(text)?.slice(1).map(Number);
  if (octets === undefined || octets.some(octet => octet > 255)) return null;
  return octets.reduce((address, octet) => address * 256 + octet, 0) as Ipv4;
}

export function formatIpv4(address: Ipv4): string {
  return [24, 16, 8, 0].map(shift => (address >>> shift) & 0xff).join('.');
}

/** The address `count` places after this one. */
export function ipv4After(address: Ipv4, count: number): Ipv4 {
  return ((address + count) >>> 0) as Ipv4;
}

/** Reads `a.b.c.d/prefix`, host bits allowed: see `subnetOf`. Null for anything else. */
export function parseAddressWithPrefix(text: string): { address: Ipv4; prefix: number } | null {
  const [, address = '', bits = ''] = /^([\d.]+)\/(0|[1-9]\d?)$/.exec(text) ?? [];
  const parsed = parseIpv4(address);
  return parsed === null || bits === '' || Number(bits) > 32
    ? null
    : { address: parsed, prefix: Number(bits) };
}

/** The network that an address with a prefix lies in. */
export function subnetOf(address: Ipv4, prefix: number): Subnet {
  const hostBits = 2 ** (32 - prefix);
  return { network: (Math.floor(address / hostBits) * hostBits) as Ipv4, prefix };
}

export function formatSubnet(subnet: Subnet): string {
  return `${formatIpv4(subnet.network)}/${subnet.prefix}`;
}

export function broadcastOf(subnet: Subnet): Ipv4 {
  return ipv4After(subnet.network, 2 ** (32 - subnet.prefix) - 1);
}

export function netmaskOf(subnet: Subnet): Ipv4 {
  return (2 ** 32 - 2 ** (32 - subnet.prefix)) as Ipv4;
}

export function subnetContains(subnet: Subnet, address: Ipv4): boolean {
  return address >= subnet.network && address <= broadcastOf(subnet);
}

export function subnetsOverlap(a: Subnet, b: Subnet): boolean {
  return subnetContains(a, b.network) || subnetContains(b, a.network);
}

export function rangeContains(range: Ipv4Range, address: Ipv4): boolean {
  return address >= range.first && address <= range.last;
}
