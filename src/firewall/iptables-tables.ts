// Tables that iptables makes in nf_tables for its first rule, with chains that accept everything, and never
// removes: `table ip filter`.
import type { Family } from '../address/ip.ts';
import type { System } from '../system/system.ts';
import { nftFamily } from './rules-reader.ts';

/** A table of iptables, such as `mangle` of IPv4. */
export interface IptablesTable {
  readonly family: Family;
  readonly table: string;
}

/** Returns the tables in the output of `iptables-save`, also those whose rules it cannot show. */
export function savedTables(save: string): string[] {
  return [...save.matchAll(/^(?:\*|# Table `)([a-z]+)/gm)].map(([, table = '']) => table);
}

/** The content of a table: nothing, rules of virlan's and perhaps others, or those of others alone. */
export type Content = 'nothing' | 'own' | 'others';

/**
 * Removes a table if nothing is in it but chains that accept everything. Returns what is in it; 'nothing' for a
 * table that does not exist.
 */
export async function removeIfEmpty(
  { run }: Pick<System, 'run'>,
  { family, table }: IptablesTable,
): Promise<Content> {
  let listing: unknown;
  try {
    listing = JSON.parse(await run('nft', ['--json', 'list', 'table', nftFamily[family], table]));
  } catch {
    return 'nothing';
  }
  const content = contentOf(listing);
  if (content !== 'nothing') return content;
  try {
    await run('nft', ['delete', 'table', nftFamily[family], table]);
    return 'nothing';
  } catch {
    return 'others';
  }
}

interface Entry {
  readonly chain?: { readonly name: string; readonly hook?: string; readonly policy?: string };
  readonly table?: object;
  readonly metainfo?: object;
}

/** Reads the output of `nft --json list table`. */
export function contentOf(listing: unknown): Content {
  const entries = (listing as { nftables: readonly Entry[] }).nftables;
  const isNothing = ({ chain, table, metainfo }: Entry) =>
    table !== undefined ||
    metainfo !== undefined ||
    // A chain without a hook is somebody's own.
    (chain?.hook !== undefined && chain.policy === 'accept' && /^[A-Z]+$/.test(chain.name));
  if (entries.every(isNothing)) return 'nothing';
  return entries.some(({ chain }) => chain?.name.startsWith('VIRLAN-') === true) ? 'own' : 'others';
}
