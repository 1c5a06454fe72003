// Tables that iptables makes in nf_tables for its first rule, with chains that accept everything, and never
// removes: `table ip filter`; and such chains in tables that are there.
import type { Family } from '../address/ip.ts';
import { isAnswer, isPassing } from '../answers.ts';
import type { System } from '../system/system.ts';
import { nftFamily } from './rules-reader.ts';

/** A table of iptables, such as `mangle` of IPv4, or a built-in chain of one. */
export interface IptablesObject {
  readonly family: Family;
  readonly table: string;
  /** Null for the table as a whole. */
  readonly chain: string | null;
}

/** Returns the lines of each table in the output of `iptables-save`, or in a script for `iptables-restore`. */
export function splitTables(listing: readonly string[]): Map<string, string[]> {
  const tables = new Map<string, string[]>();
  let lines: string[] = [];
  for (const line of listing) {
    if (line.startsWith('*')) {
      lines = [];
      tables.set(line.slice(1), lines);
    } else if (line !== '' && line !== 'COMMIT') lines.push(line);
  }
  return tables;
}

/**
 * Returns the tables and the built-in chains that a script for `iptables-restore` makes, in a host with these
 * tables. `listChains` returns the output of `nft --json list chains`: iptables-save shows built-in chains also
 * where they do not exist.
 */
export async function missingObjects(
  family: Family,
  present: readonly string[],
  script: string,
  listChains: () => Promise<string>,
): Promise<IptablesObject[]> {
  const used = [...splitTables(script.split('\n'))];
  const made = used.flatMap(([table]) => (present.includes(table) ? [] : [{ family, table, chain: null }]));
  const extended = used.filter(([table]) => present.includes(table));
  if (extended.length === 0) return made;
  const existing = parseChains(await listChains(), family);
  const added = extended.flatMap(([table, lines]) => {
    // A table of iptables-legacy has all its chains from the start.
    if (![...existing].some(chain => chain.startsWith(`${table} `))) return [];
    const chains = new Set(lines.flatMap(line => /^-[AI] ([A-Z]+) /.exec(line)?.[1] ?? []));
    return [...chains]
      .filter(chain => !existing.has(`${table} ${chain}`))
      .map(chain => ({ family, table, chain }));
  });
  return [...made, ...added];
}

/** Returns the chains of a family, as `TABLE CHAIN`; none where nft cannot list them. */
function parseChains(listing: string, family: Family): Set<string> {
  try {
    const { nftables }: { nftables: readonly { chain?: Record<string, unknown> }[] } = JSON.parse(listing);
    return new Set(
      nftables.flatMap(({ chain }) =>
        chain?.family === nftFamily[family] ? [`${chain.table} ${chain.name}`] : [],
      ),
    );
  } catch {
    return new Set();
  }
}

/** Returns the tables in the output of `iptables-save`, also those whose rules it cannot show. */
export function savedTables(save: string): string[] {
  return [...save.matchAll(/^(?:\*|# Table `)([a-z]+)/gm)].map(([, table = '']) => table);
}

/** The content of a table or a chain: nothing, rules of virlan's and perhaps others, or those of others alone. */
export type Content = 'nothing' | 'own' | 'others';

/**
 * Removes a table if nothing is in it but chains that accept everything, or such a chain. Returns what is in it;
 * 'nothing' for one that does not exist, and 'unknown' where nft does not answer, or the kernel is busy.
 */
export async function removeIfEmpty(
  { run }: Pick<System, 'run'>,
  { family, table, chain }: IptablesObject,
): Promise<Content | 'unknown'> {
  const object = [chain === null ? 'table' : 'chain', nftFamily[family], table];
  if (chain !== null) object.push(chain);
  let listing: unknown;
  try {
    listing = JSON.parse(await run('nft', ['--json', 'list', ...object]));
  } catch (error) {
    return isAnswer(error) && !isPassing(error) ? 'nothing' : 'unknown';
  }
  const content = contentOf(listing);
  if (content !== 'nothing') return content;
  try {
    await run('nft', ['delete', ...object]);
    return 'nothing';
  } catch (error) {
    return isAnswer(error) && !isPassing(error) ? 'others' : 'unknown';
  }
}

interface Entry {
  readonly chain?: { readonly name: string; readonly hook?: string; readonly policy?: string };
  readonly rule?: { readonly expr: readonly { readonly jump?: { readonly target: string } }[] };
  readonly table?: object;
  readonly metainfo?: object;
}

/** Reads the output of `nft --json list table`, or `list chain`. */
export function contentOf(listing: unknown): Content {
  const entries = (listing as { nftables: readonly Entry[] }).nftables;
  const isNothing = ({ chain, table, metainfo }: Entry) =>
    table !== undefined ||
    metainfo !== undefined ||
    // A chain without a hook is somebody's own.
    (chain?.hook !== undefined && chain.policy === 'accept' && /^[A-Z]+$/.test(chain.name));
  if (entries.every(isNothing)) return 'nothing';
  const isOwn = ({ chain, rule }: Entry) =>
    [chain?.name, ...(rule?.expr ?? []).map(({ jump }) => jump?.target)].some(
      name => name?.startsWith('VIRLAN-') === true,
    );
  return entries.some(isOwn) ? 'own' : 'others';
}
