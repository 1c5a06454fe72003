// Finds rules of other programs that drop the packets of a port forward: no probe can come in from outside.
import { type Ipv4, parseIpv4 } from '../address/ip.ts';
import type { Forward } from '../config/forward.ts';
import type { RulesReader } from '../firewall/rules-reader.ts';
import type { System } from '../system/system.ts';
import { type BaseChain, readBaseChains, readRuleText } from './base-chains.ts';
import type { Chain } from './model.ts';
import { findDroppingRules, type Packet } from './packet.ts';

/** A forward that is active, and the address that it leads to. */
export interface ActiveForward {
  readonly forward: Forward;
  readonly ip: Ipv4;
}

/** The packets of a forward: of a client before and after translation, and of the machine that answers. */
export type Way = 'arriving' | 'forwarded' | 'answering';

/** A rule that drops packets of a forward. All names and texts of other programs in it are hostile. */
export interface ForwardDrop extends ActiveForward {
  readonly bridge: string;
  readonly way: Way;
  /** The chain that packets come to first. */
  readonly base: Chain;
  /** The chain that the rule is in. */
  readonly chain: string;
  /** Null where nft does not show it. */
  readonly rule: string | null;
}

/** Most forwards that are judged. */
const maxForwards = 100;

/** A client without a place in anybody's list: where a forward is open to all, an address of the internet. */
const anybody = parseIpv4('9.9.9.9');

/** A port as clients choose it. */
const clientPort = 50_000;

/** Before this priority of prerouting, packets have the host's address and port. */
const translationPriority = -100;

/**
 * Returns the first dropped packet of each rule that drops packets of forwards for certain. `link` is the link to
 * the outside. Rules that cannot be read are left out: what they are is said elsewhere.
 */
export async function findForwardDrops(
  system: Pick<System, 'run' | 'readFile' | 'leadsTo'>,
  reader: RulesReader,
  bridge: string,
  forwards: readonly ActiveForward[],
  link: string | null,
): Promise<ForwardDrop[]> {
  if (forwards.length === 0) return [];
  const drops = judgeForwards(await readBaseChains(system, reader), bridge, forwards, link);
  return Promise.all(
    drops.map(async drop => {
      const { base, chain, rule } = drop;
      return { ...drop, rule: rule === null ? null : await readRuleText(system, base, chain, rule) };
    }),
  );
}

/** Judges each forward by these chains; `rule` is the rule's text, or its handle in nftables. Pure. */
export function judgeForwards(
  bases: readonly BaseChain[],
  bridge: string,
  forwards: readonly ActiveForward[],
  link: string | null,
): ForwardDrop[] {
  const drops = bases.flatMap(({ base, priority, chains }) =>
    forwards.slice(0, maxForwards).flatMap(active =>
      waysAt(base.hook, priority).flatMap(way => {
        const packets = packetsOf(way, active, bridge, link);
        const found = packets.flatMap(
          packet => findDroppingRules(chains, base.name, packet).find(({ isCertain }) => isCertain) ?? [],
        );
        return found.map(({ chain, rule }) => ({ ...active, bridge, way, base, chain, rule: rule.id }));
      }),
    ),
  );
  const key = ({ base, chain, rule, way }: ForwardDrop) =>
    JSON.stringify([base.family, base.table, chain, rule, way]);
  return [...new Map(drops.reverse().map(drop => [key(drop), drop])).values()].reverse();
}

/** Returns the packets to the first and to the last port of a forward. */
function packetsOf(way: Way, active: ActiveForward, bridge: string, link: string | null): Packet[] {
  const { first, last } = active.forward;
  return [...new Set([0, last - first])].map(offset => packetOf(way, active, bridge, link, offset));
}

function packetOf(
  way: Way,
  { forward: { protocol, first, to, address, from }, ip }: ActiveForward,
  bridge: string,
  link: string | null,
  offset: number,
): Packet {
  const source = from?.network ?? anybody;
  const [originalPort, port] = [first + offset, to + offset];
  const request = {
    protocol,
    originalPort,
    source,
    sourcePort: clientPort,
    in: link,
    flags: ['syn'],
    state: 'new',
    direction: 'original',
  } as const;
  switch (way) {
    case 'arriving':
      return {
        ...request,
        out: null,
        destination: address,
        destinationPort: originalPort,
        isToHost: true,
        isTranslated: false,
      };
    case 'forwarded':
      return {
        ...request,
        out: bridge,
        destination: ip,
        destinationPort: port,
        isToHost: false,
        isTranslated: true,
      };
    case 'answering':
      return {
        protocol,
        originalPort,
        in: bridge,
        out: link,
        source: ip,
        sourcePort: port,
        destination: source,
        destinationPort: clientPort,
        flags: ['syn', 'ack'],
        state: 'established',
        direction: 'reply',
        isToHost: false,
        isTranslated: true,
      };
  }
}

function waysAt(hook: string | null, priority: number): readonly Way[] {
  if (hook === 'forward') return ['forwarded', 'answering'];
  return hook === 'prerouting' && priority < translationPriority ? ['arriving'] : [];
}
