import { type Ipv4, type Ipv4Range, ipv4After, rangeContains } from '../address/ip.ts';

/** The addresses virlan gives out: a range less what is spoken for, kept as arithmetic because a range may hold millions. */
export interface Pool {
  readonly range: Ipv4Range;
  /** Ascending, without repetition, all inside the range. */
  readonly excluded: readonly Ipv4[];
}

export function makePool(range: Ipv4Range, reserved: readonly Ipv4[]): Pool {
  const inside = [...new Set(reserved)].filter(ip => rangeContains(range, ip));
  return { range, excluded: inside.sort((a, b) => a - b) };
}

export function poolSize(pool: Pool): number {
  return pool.range.last - pool.range.first + 1 - pool.excluded.length;
}

/** The address at a place of the pool, counted from 0 up to `poolSize` less one. */
export function poolAddress(pool: Pool, place: number): Ipv4 {
  let address = ipv4After(pool.range.first, place);
  for (const excluded of pool.excluded) {
    if (excluded > address) break;
    address = ipv4After(address, 1);
  }
  return address;
}

/** The last address of the pool that is free: as far as can be from those that machines are given first. */
export function lastFree(pool: Pool, isTaken: (ip: Ipv4) => boolean): Ipv4 | null {
  for (let place = poolSize(pool) - 1; place >= 0; place--) {
    const ip = poolAddress(pool, place);
    if (!isTaken(ip)) return ip;
  }
  return null;
}
