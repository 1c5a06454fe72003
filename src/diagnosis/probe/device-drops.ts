// Finds the chains of other programs at the ingress and egress of a link that drop packets of a probe. They come before
// prerouting and after postrouting, so that no trace and no counter shows them:
// `table netdev guard { chain in { type filter hook ingress device "eth0" priority 0; ip saddr 10.0.0.0/8 drop; } }`
import { type BaseChain, type HostRules, readRuleText } from '../../other-firewalls/base-chains.ts';
import { findCertainDrop } from '../../other-firewalls/packet.ts';
import type { System } from '../../system/system.ts';
import type { Drop } from '../packet-drop.ts';
import type { Drops } from './drops.ts';
import { type HookPassage, lossesOn, type ProbedPath } from './ways.ts';

/** Returns the first drop of each packet, where it is dropped for certain. */
export async function readDeviceDrops(
  system: Pick<System, 'run'>,
  rules: HostRules,
  path: ProbedPath,
): Promise<Drops> {
  const { ofPackets } = await rules.chains();
  const found = Object.entries(findDeviceDrops(ofPackets, path)).map(async ([kind, drop]) => [
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

/** Returns the same from these chains, with the handles of rules in place of their texts. */
export function findDeviceDrops(bases: readonly BaseChain[], path: ProbedPath): Drops {
  return lossesOn(path, passage => dropsAt(passage, bases)[0] ?? null);
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

function dropsAt(passage: HookPassage, bases: readonly BaseChain[]): Drop[] {
  const { packet } = passage;
  const place = devicePlace(passage);
  const link = place === 'ingress' ? packet.in : packet.out;
  if (place === null || link === null) return [];
  const seen = place === 'ingress' ? { in: link, out: null } : { in: null, out: link };
  return bases
    .filter(({ base, links }) => base.hook === place && links.includes(link))
    .flatMap(({ base, chains }) => {
      // An ingress hook knows no outgoing link, and an egress hook no incoming one.
      const drop = findCertainDrop(chains, base, { ...packet, ...seen });
      if (drop === null) return [];
      const { family, table } = base;
      return { family, table, chain: drop.chain, rule: drop.rule?.id ?? null, links: seen };
    });
}
