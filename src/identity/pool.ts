// The pool: the addresses of a network that virlan gives to machines, in order.
import { type Ipv4, type Ipv4Range, ipv4After, rangeContains } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';

/** A range without excluded addresses. Not a list of addresses, because a range may hold millions. */
export interface Pool {
  readonly range: Ipv4Range;
  /** Ascending, without repetition, all inside the range. */
  readonly excluded: readonly Ipv4[];
}

/** Returns a range without these addresses. */
export function makePool(range: Ipv4Range, reserved: readonly Ipv4[]): Pool {
  const inside = [...new Set(reserved)].filter(ip => rangeContains(range, ip));
  return { range, excluded: inside.sort((a, b) => a - b) };
}

/** Returns `dhcp-range` without the gateway and the addresses of `[host.…]` sections. */
export function poolOf({ range, gateway, hosts }: Pick<NetworkConfig, 'range' | 'gateway' | 'hosts'>): Pool {
  return makePool(range, [gateway, ...hosts.map(host => host.ip)]);
}

/** Returns the part of a network's pool that is in a block of addresses. */
export function poolIn(network: Parameters<typeof poolOf>[0], { first, last }: Ipv4Range): Pool {
  const { range, excluded } = poolOf(network);
  const part = { first: Math.max(first, range.first) as Ipv4, last: Math.min(last, range.last) as Ipv4 };
  return makePool(part, excluded);
}

/** Returns the number of addresses in the pool. */
export function poolSize(pool: Pool): number {
  return pool.range.last - pool.range.first + 1 - pool.excluded.length;
}

/** Returns whether an address is in the pool. */
export function isInPool({ range, excluded }: Pool, ip: Ipv4): boolean {
  return rangeContains(range, ip) && !excluded.includes(ip);
}

/** Returns how many different addresses of a list are in the pool. */
export function countInPool(pool: Pool, addresses: readonly (Ipv4 | null)[]): number {
  return new Set(addresses.filter(ip => ip !== null && isInPool(pool, ip))).size;
}

/** Returns the address at a place of the pool, from 0 to `poolSize` - 1. */
export function poolAddress(pool: Pool, place: number): Ipv4 {
  let address = ipv4After(pool.range.first, place);
  for (const excluded of pool.excluded) if (excluded <= address) address = ipv4After(address, 1);
  return address;
}

/** Returns the last address of the pool that is not taken; null when all are. */
export function lastFree(pool: Pool, isTaken: (ip: Ipv4) => boolean): Ipv4 | null {
  for (let place = poolSize(pool) - 1; place >= 0; place--) {
    const ip = poolAddress(pool, place);
    if (!isTaken(ip)) return ip;
  }
  return null;
}
