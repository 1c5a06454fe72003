// Reads chains of the kernel from the output of nft and of iptables-save.
import { VirlanError } from '../errors.ts';
import type { Chain } from './model.ts';

/**
 * Reads the output of `nft --json list chains`, without entries of unknown form. Throws when it is not a
 * list.
 */
export function parseNftChains(text: string): Chain[] {
  const listed: unknown = JSON.parse(text);
  const entries = (listed as { nftables?: unknown } | null)?.nftables;
  if (!Array.isArray(entries)) throw new VirlanError('unreadable-firewall', 'nft printed no list of chains');
  return entries.flatMap((entry: { chain?: Partial<Record<string, unknown>> } | null) => {
    const { family, table, name, hook, policy } = entry?.chain ?? {};
    if (typeof family !== 'string' || typeof table !== 'string' || typeof name !== 'string') return [];
    return [{ family, table, name, hook: textOrNull(hook), policy: textOrNull(policy) }];
  });
}

/** Reads the chains of one table from lines of `iptables-save`. */
export function parseSavedChains(lines: readonly string[], family: string, table: string): Chain[] {
  return lines.flatMap(line => {
    const [, name, policy] = /^:(\S+) (\S+)/.exec(line) ?? [];
    if (name === undefined || policy === undefined) return [];
    const isBase = policy !== '-';
    return [
      {
        family,
        table,
        name,
        hook: isBase ? name.toLowerCase() : null,
        policy: isBase ? policy.toLowerCase() : null,
      },
    ];
  });
}

/** Returns the lines of each table in the output of `iptables-save`. */
export function savedLines(save: string): Map<string, string[]> {
  const tables = new Map<string, string[]>();
  let lines: string[] = [];
  for (const line of save.split('\n')) {
    if (line.startsWith('*')) {
      lines = [];
      tables.set(line.slice(1), lines);
    } else if (/^[:-]/.test(line)) lines.push(line);
  }
  return tables;
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
