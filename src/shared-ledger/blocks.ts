// Blocks: which addresses a host gives without asking the others. It claims them beforehand. Pure.
import { type Ipv4, type Ipv4Range, ipv4After, rangeContains } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import type { Ledger } from '../identity/ledger.ts';
import type { LedgerEntry } from '../identity/ledger-format.ts';
import { poolOf } from '../identity/pool.ts';
import { digest } from '../names/digest.ts';
import { blockValue, keyOf } from './keys.ts';
import type { Mirror } from './mirror.ts';
import type { Member } from './pushes.ts';
import type { Transaction } from './transaction.ts';

/** The part of a network's configuration that its blocks follow from. It is the same on all hosts. */
export type BlockNetwork = Pick<NetworkConfig, 'name' | 'subnet' | 'range' | 'gateway' | 'hosts'>;

/** A subnet has at least this many blocks, so that many hosts get some. */
const minBlocks = 64;

/** Most addresses of a block. */
const maxBlockSize = 16;

/** Addresses that a host has in reserve, for machines that are new while etcd is away; fewer in a small pool. */
const maxSpare = 16;

/** Most blocks that are claimed at once. */
const maxClaims = 64;

/** Returns the number of addresses of a block. */
export function blockSize({ subnet }: Pick<NetworkConfig, 'subnet'>): number {
  return Math.max(1, Math.min(maxBlockSize, 2 ** (32 - subnet.length) / minBlocks));
}

/** Returns the block of an address. */
function blockOf(network: BlockNetwork, address: Ipv4): Ipv4Range {
  const size = blockSize(network);
  const first = ipv4After(
    network.subnet.network,
    Math.floor((address - network.subnet.network) / size) * size,
  );
  return { first, last: ipv4After(first, size - 1) };
}

/** Returns the blocks that a host has, joined where they touch. `earlier` are those that it had before. */
export function ownBlocks(
  { host }: Member,
  network: BlockNetwork,
  mirror: Mirror,
  earlier: readonly Ipv4Range[],
): Ipv4Range[] {
  // Where etcd has lost a block, it is claimed again, and nobody else has it before.
  const kept = earlier
    .flatMap(({ first, last }) => firstsIn(network, first, last))
    .filter(first => !mirror.blocks.has(first));
  const claimed = [...mirror.blocks].flatMap(([first, { value }]) => (value === host ? [first] : []));
  const joined: Ipv4Range[] = [];
  for (const first of [...new Set([...kept, ...claimed])].sort((a, b) => a - b)) {
    const { last } = blockOf(network, first);
    const before = joined.at(-1);
    if (before !== undefined && before.last + 1 === first)
      joined.splice(-1, 1, { first: before.first, last });
    else joined.push({ first, last });
  }
  return joined;
}

function firstsIn(network: BlockNetwork, first: Ipv4, last: Ipv4): Ipv4[] {
  const size = blockSize(network);
  const begin = blockOf(network, first).first;
  return Array.from({ length: Math.ceil((last + 1 - begin) / size) }, (_, index) =>
    ipv4After(begin, index * size),
  );
}

/** Returns how many addresses of some blocks are free for new machines. */
export function countFree(network: BlockNetwork, blocks: readonly Ipv4Range[], ledger: Ledger): number {
  const { range, excluded } = poolOf(network);
  let free = 0;
  for (const { first, last } of blocks)
    for (let ip = first; ip <= last; ip = ipv4After(ip, 1))
      if (rangeContains(range, ip) && !excluded.includes(ip) && !ledger.hasIp(network.name, ip)) free++;
  return free;
}

/** Returns how many free addresses a host should have in reserve. */
export function spareOf({ range }: Pick<NetworkConfig, 'range'>): number {
  return Math.min(maxSpare, Math.ceil((range.last - range.first + 1) / 16));
}

/**
 * Returns the claims of blocks: those that this host had, those that its machines have addresses of, and as many more
 * as it needs for its reserve. `isShort`: there are not enough.
 */
export function planClaims(
  member: Member,
  network: BlockNetwork,
  entries: readonly LedgerEntry[],
  ledger: Ledger,
  mirror: Mirror,
  earlier: readonly Ipv4Range[],
): { readonly claims: readonly Transaction[]; readonly isShort: boolean } {
  const had = ownBlocks(member, network, mirror, earlier);
  const isFree = (first: Ipv4) => !mirror.blocks.has(first);
  const used = entries.flatMap(({ network: name, host, ip }) =>
    name === member.network && host === null && ip !== null && rangeContains(network.range, ip)
      ? [blockOf(network, ip).first]
      : [],
  );
  const again = had.flatMap(({ first, last }) => firstsIn(network, first, last));
  const firsts = new Set([...again, ...used].filter(isFree));
  let free = countFree(network, had, ledger);
  for (const first of firsts)
    if (!again.includes(first)) free += countFree(network, [blockOf(network, first)], ledger);
  const needsMore = () => free < spareOf(network) && firsts.size < maxClaims;
  if (needsMore())
    for (const first of searchOrder(member, network)) {
      if (!isFree(first) || firsts.has(first)) continue;
      const count = countFree(network, [blockOf(network, first)], ledger);
      if (count > 0) firsts.add(first);
      free += count;
      if (!needsMore()) break;
    }
  const claims = [...firsts].slice(0, maxClaims).map(first => ({
    compares: [{ key: keyOf.block(first), revision: null }],
    operations: [{ key: keyOf.block(first), value: blockValue(member.host) }],
  }));
  return { claims, isShort: free < spareOf(network) };
}

/** Yields all blocks of the pool. Each host begins at another one, so that they seldom want the same. */
function* searchOrder({ host }: Member, network: BlockNetwork): Generator<Ipv4> {
  const size = blockSize(network);
  const { first } = blockOf(network, network.range.first);
  const count = Math.ceil((network.range.last + 1 - first) / size);
  const start = digest(`virlan:blocks:${host}`).readUInt32BE(0) % count;
  for (let step = 0; step < count; step++) yield ipv4After(first, ((start + step) % count) * size);
}
