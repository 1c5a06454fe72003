// Reads chains of the kernel from the output of nft and of iptables-save.
import type { Chain } from './model.ts';

/** Reads what `nft --json list chains` prints. Throws for what is no such thing; what it does not know it leaves out. */
export function parseNftChains(text: string): Chain[] {
  const listed: unknown = JSON.parse(text);
  const entries = (listed as { nftables?: unknown } | null)?.nftables;
  if (!Array.isArray(entries)) throw new Error('no list of chains');
  return entries.flatMap((entry: { chain?: Partial<Record<string, unknown>> } | null) => {
    const { family, table, name, hook, policy } = entry?.chain ?? {};
    if (typeof family !== 'string' || typeof table !== 'string' || typeof name !== 'string') return [];
    return [{ family, table, name, hook: textOrNull(hook), policy: textOrNull(policy) }];
  });
}

/** Those of table `filter` in what `iptables-save` prints. */
export function parseSavedChains(lines: readonly string[]): Chain[] {
  return lines.flatMap(line => {
    const [, name, policy] = /^:(\S+) (\S+)/.exec(line) ?? [];
    if (name === undefined || policy === undefined) return [];
    const isBase = policy !== '-';
    return [
      {
        family: 'ip',
        table: 'filter',
        name,
        hook: isBase ? name.toLowerCase() : null,
        policy: isBase ? policy.toLowerCase() : null,
      },
    ];
  });
}

/** The lines of table `filter` in what `iptables-save` prints. */
export function filterLines(save: string): string[] {
  const [, rest = ''] = save.split(/^\*filter$/m);
  return (
    rest
      .split(/^COMMIT$/m)[0]
      ?.split('\n')
      .filter(line => line !== '') ?? []
  );
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
