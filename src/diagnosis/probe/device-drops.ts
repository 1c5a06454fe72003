// Finds the chains of other programs at the ingress and egress of a link that drop packets of a probe. They come before
// prerouting and after postrouting, so that no trace and no counter shows them:
// `table netdev guard { chain in { type filter hook ingress device "eth0" priority 0; ip saddr 10.0.0.0/8 drop; } }`
import { createRulesReader, listTimeoutSeconds } from '../../firewall/rules-reader.ts';
import { readRuleText } from '../../other-firewalls/base-chains.ts';
import { type DeviceLinks, parseDeviceLinks } from '../../other-firewalls/device-links.ts';
import { type NftTable, parseNftTables } from '../../other-firewalls/nft-rules.ts';
import { findCertainDrop } from '../../other-firewalls/packet.ts';
import type { System } from '../../system/system.ts';
import type { Drop } from '../packet-drop.ts';
import type { Drops } from './drops.ts';
import { type HookPassage, lossesOn, type ProbedPath } from './ways.ts';

/** Reads the first drop of each packet, where it is dropped for certain. */
export async function readDeviceDrops(system: Pick<System, 'run'>, path: ProbedPath): Promise<Drops> {
  const [ruleset, chains] = await Promise.all([
    createRulesReader(system).ruleset(),
    system.run('nft', ['list', 'chains'], { timeoutSeconds: listTimeoutSeconds }),
  ]).catch(() => ['', ''] as const);
  const found = Object.entries(findDeviceDrops(ruleset, chains, path)).map(async ([kind, drop]) => [
    kind,
    drop === null ? null : await withText(system, drop),
  ]);
  return Object.fromEntries(await Promise.all(found));
}

async function withText(system: Pick<System, 'run'>, drop: Drop): Promise<Drop> {
  const { family, table, chain, rule: handle } = drop;
  if (handle === null) return drop;
  const place = { family, table, name: chain, hook: null, policy: null };
  return { ...drop, rule: (await readRuleText(system, place, chain, handle)) ?? `handle ${handle}` };
}

/**
 * Returns the same from what `nft --json list ruleset` and `nft list chains` print, with the handles of rules in place
 * of their texts.
 */
export function findDeviceDrops(ruleset: string, chains: string, path: ProbedPath): Drops {
  const tables = parseNftTables(ruleset);
  const links = parseDeviceLinks(chains);
  return lossesOn(path, passage => dropsAt(passage, tables, links)[0] ?? null);
}

/** Returns the hook of a link that a packet passes beside another hook; null for none. */
function devicePlace({ hook }: HookPassage): 'ingress' | 'egress' | null {
  switch (hook) {
    case 'PREROUTING':
      return 'ingress';
    case 'POSTROUTING':
      return 'egress';
    case 'INPUT':
    case 'FORWARD':
    case 'OUTPUT':
      return null;
  }
}

function dropsAt(passage: HookPassage, tables: readonly NftTable[], linksOf: DeviceLinks): Drop[] {
  const { packet } = passage;
  const place = devicePlace(passage);
  const link = place === 'ingress' ? packet.in : packet.out;
  if (place === null || link === null) return [];
  const links = place === 'ingress' ? { in: link, out: null } : { in: null, out: link };
  return tables.flatMap(({ family, table, chains, baseChains }) =>
    baseChains
      .filter(base => base.hook === place && linksOf.get(`${family} ${table} ${base.name}`)?.includes(link))
      .flatMap(base => {
        // An ingress hook knows no outgoing link, and an egress hook no incoming one.
        const drop = findCertainDrop(chains, base, { ...packet, ...links });
        if (drop === null) return [];
        return { family, table, chain: drop.chain, rule: drop.rule?.id ?? null, links };
      }),
  );
}
