// Finds the rules of other programs that drop packets of a machine for certain, without sending any: a rule may be
// about one machine, or about packets that no probe sends.
//   -A FORWARD -s 192.168.100.155/32 -j DROP
//   table inet f2b { set banned { … elements = { 192.168.100.155 } }; chain in { …; ip saddr @banned drop; } }
import type { Mac } from '../../address/mac.ts';
import { type BaseChain, type HostRules, readRuleText } from '../../other-firewalls/base-chains.ts';
import { ownChainOf } from '../../other-firewalls/own-chains.ts';
import { findCertainDrop, type Packet } from '../../other-firewalls/packet.ts';
import type { System } from '../../system/system.ts';
import type { Drop } from '../packet-drop.ts';
import type { Drops } from './drops.ts';
import { type HookPassage, type ProbedPath, waysOf } from './ways.ts';

/** A machine, and the way of its packets. */
export interface MachinePath extends ProbedPath {
  readonly mac: Mac;
  /** Its port of the bridge. Hostile. */
  readonly tap: string;
}

/** The packets that are judged. Pings and datagrams to the outside may be dropped on purpose. */
const judgedKinds = ['dhcp', 'dns', 'connecting', 'connected'] as const;

/** From this priority of postrouting on, packets to the outside may have the address of the host. */
const translatedPriority = 100;

/** Returns the first drop of each kind of packets. */
export async function readRuleDrops(
  system: Pick<System, 'run'>,
  rules: HostRules,
  path: MachinePath,
): Promise<Drops> {
  const { ofPackets, ofFrames } = await rules.chains();
  const found = findRuleDrops([...ofPackets, ...ofFrames], path);
  const withTexts = Object.entries(found).map(async ([kind, { base, drop }]) => {
    const rule = drop.rule === null ? null : await readRuleText(system, base, drop.chain, drop.rule);
    return [kind, drop.rule === null ? drop : { ...drop, rule: rule ?? `handle ${drop.rule}` }];
  });
  return Object.fromEntries(await Promise.all(withTexts));
}

/** A drop whose rule is its text, or its handle in nftables, and the chain that the packet came to first. */
interface FoundDrop {
  readonly base: BaseChain['base'];
  readonly drop: Drop;
}

/** Returns the first drop of each kind of packets; no entry for a kind that passes, or may. Pure. */
export function findRuleDrops(
  bases: readonly BaseChain[],
  path: MachinePath,
): Partial<Record<(typeof judgedKinds)[number], FoundDrop>> {
  const filtering = bases.filter(({ base, isForNat }) => {
    return !isForNat && ownChainOf({ ...base, chain: base.name }) === null;
  });
  const kinds = path.outside === null ? (['dhcp', 'dns'] as const) : judgedKinds;
  const found = kinds.map(kind => {
    const [way = []] = waysOf[kind](path);
    const [first] = way.flatMap(passage => filtering.flatMap(chain => dropAt(chain, passage, path) ?? []));
    return [kind, first] as const;
  });
  return Object.fromEntries(found.filter(([, drop]) => drop !== undefined));
}

function dropAt(
  { base, priority, links, chains }: BaseChain,
  passage: HookPassage,
  path: MachinePath,
): FoundDrop | null {
  const { family, table } = base;
  for (const packet of packetsAt({ base, priority, links }, passage, path)) {
    const drop = findCertainDrop(chains, base, packet);
    if (drop === null || ownChainOf({ family, table, chain: drop.chain }) !== null) continue;
    const place = { family, table, chain: drop.chain, rule: drop.rule?.id ?? null };
    return { base, drop: { ...place, links: { in: packet.in, out: packet.out } } };
  }
  return null;
}

/** Returns the packet of a passage as a chain there sees it; none where the chain does not see it. */
function packetsAt(
  { base: { family, hook }, priority, links }: Pick<BaseChain, 'base' | 'priority' | 'links'>,
  { hook: at, packet: seen }: HookPassage,
  { bridge, tap, mac }: MachinePath,
): Packet[] {
  const packet = { ...seen, mac: seen.in === bridge ? mac : null };
  const isAt = hook === at.toLowerCase();
  if (family === 'bridge') {
    if (at === 'FORWARD' || !isAt) return [];
    if (packet.in === bridge) return [{ ...packet, in: tap }];
    return packet.out === bridge ? [{ ...packet, out: tap }] : [];
  }
  if (hook === 'ingress' && at === 'PREROUTING')
    return portsOf(packet.in).flatMap(link => (links.includes(link) ? { ...packet, in: link } : []));
  if (hook === 'egress' && at === 'POSTROUTING')
    return portsOf(packet.out).flatMap(link => (links.includes(link) ? { ...packet, out: link } : []));
  if (!isAt) return [];
  const mayBeTranslated = at === 'POSTROUTING' && packet.out !== bridge && priority >= translatedPriority;
  return [mayBeTranslated ? { ...packet, source: null } : packet];

  /** The links at which what passes one of them is seen: a packet of the bridge passes the machine's port, too. */
  function portsOf(link: string | null): string[] {
    if (link === null) return [];
    return link === bridge ? [tap, bridge] : [link];
  }
}
