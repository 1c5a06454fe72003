// Finds rules of other programs that drop the packets of a port forward, or lead them elsewhere: no probe can come in
// from outside.
import { type Ipv4, parseIpv4 } from '../address/ip.ts';
import type { Forward } from '../config/forward.ts';
import type { System } from '../system/system.ts';
import { type BaseChain, type HostRules, readRuleText } from './base-chains.ts';
import type { Chain } from './model.ts';
import { ownChainOf } from './own-chains.ts';
import { findDroppingRules, findEffect, type Packet } from './packet.ts';

/** A forward that is active, and the address that it leads to. */
export interface ActiveForward {
  readonly forward: Forward;
  readonly ip: Ipv4;
}

/**
 * The packets of a forward: of a client before and after translation, and those of the machine that answers, before and
 * after they have the host's address again.
 */
export type Way = 'arriving' | 'forwarded' | 'answering' | 'answered';

/** A rule of another program that decides about packets of a forward. All names and texts in it are hostile. */
interface ForwardRule extends ActiveForward {
  readonly bridge: string;
  /** The chain that packets come to first. */
  readonly base: Chain;
  /** The chain that the rule is in. */
  readonly chain: string;
  /** Null where nft does not show it. */
  readonly rule: string | null;
}

/** A rule that drops packets of a forward. */
export interface ForwardDrop extends ForwardRule {
  readonly way: Way;
}

/** A rule that takes new connections to the port of a forward: they may go elsewhere. */
export interface ForwardTaking extends ForwardRule {
  readonly effect: 'translate' | 'untrack';
}

/** The rules of other programs that packets of forwards meet. */
export interface ForwardRules {
  /** The first dropped packet of each rule that drops some for certain. */
  readonly drops: readonly ForwardDrop[];
  readonly takings: readonly ForwardTaking[];
}

/** Most forwards that are judged. */
const maxForwards = 100;

/** A client without a place in anybody's list: where a forward is open to all, an address of the internet. */
const anybody = parseIpv4('9.9.9.9');

/** A port as clients choose it. */
const clientPort = 50_000;

/** Before this priority of prerouting, packets have the host's address and port. */
const translationPriority = -100;

/** Before this one, the state of connections is not known. */
const trackingPriority = -200;

/** The last priority of prerouting at which a chain takes packets of forwards. */
const lastTaking = { translate: translationPriority, untrack: trackingPriority } as const;

/** After this priority of postrouting, answers have the host's address and port again. */
const returnPriority = 100;

/**
 * Finds the rules of others that forwards meet. `link` is the link to the outside.
 */
export async function findForwardRules(
  system: Pick<System, 'run'>,
  rules: HostRules,
  bridge: string,
  forwards: readonly ActiveForward[],
  link: string | null,
): Promise<ForwardRules> {
  if (forwards.length === 0) return { drops: [], takings: [] };
  const { ofPackets: bases } = await rules.chains();
  const withText = async <Found extends ForwardRule>(found: Found): Promise<Found> => {
    const { base, chain, rule } = found;
    return { ...found, rule: rule === null ? null : await readRuleText(system, base, chain, rule) };
  };
  return {
    drops: await Promise.all(judgeForwards(bases, bridge, forwards, link).map(withText)),
    takings: await Promise.all(judgeTakings(bases, bridge, forwards, link).map(withText)),
  };
}

/**
 * Returns the rules of others that translate new connections to forwards, or keep them from being tracked and so from
 * being translated. Later chains than virlan's translate none of them; of two chains with one priority, the kernel
 * calls the one first that was made last. Pure.
 */
export function judgeTakings(
  bases: readonly BaseChain[],
  bridge: string,
  forwards: readonly ActiveForward[],
  link: string | null,
): ForwardTaking[] {
  const found = bases.flatMap(({ base, priority, isForNat, chains }) => {
    const effect = isForNat ? 'translate' : 'untrack';
    if (base.hook !== 'prerouting' || priority > lastTaking[effect]) return [];
    return forwards.slice(0, maxForwards).flatMap(active =>
      packetsOf('arriving', active, bridge, link).flatMap((packet): ForwardTaking[] => {
        const rule = findEffect(chains, base.name, asSeenAt(base.hook, packet), effect);
        return rule === null || ownChainOf({ ...base, chain: rule.chain }) !== null
          ? []
          : [{ ...active, bridge, base, chain: rule.chain, rule: rule.rule.id, effect }];
      }),
    );
  });
  return firstOfEach(found, keyOfRule);
}

/** Judges each forward by these chains; `rule` is the rule's text, or its handle in nftables. Pure. */
export function judgeForwards(
  bases: readonly BaseChain[],
  bridge: string,
  forwards: readonly ActiveForward[],
  link: string | null,
): ForwardDrop[] {
  const drops = bases.flatMap(({ base, priority, isForNat, links, chains }) =>
    forwards.slice(0, maxForwards).flatMap(active =>
      waysAt({
        hook: base.hook,
        priority,
        isForNat,
        isOnUplink: link !== null && links.includes(link),
      }).flatMap(way => {
        const packets = packetsOf(way, active, bridge, link).map(packet => asSeenAt(base.hook, packet));
        const found = packets.flatMap(
          packet => findDroppingRules(chains, base.name, packet).find(({ isCertain }) => isCertain) ?? [],
        );
        return found.map(({ chain, rule }) => ({ ...active, bridge, way, base, chain, rule: rule.id }));
      }),
    ),
  );
  return firstOfEach(drops, drop => `${drop.way} ${keyOfRule(drop)}`);
}

function keyOfRule({ base, chain, rule }: ForwardRule): string {
  return JSON.stringify([base.family, base.table, chain, rule]);
}

/** Returns the first of those that have one key. */
function firstOfEach<Found>(found: readonly Found[], keyOf: (each: Found) => string): Found[] {
  return [...new Map(found.toReversed().map(each => [keyOf(each), each])).values()].reverse();
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
    mac: null,
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
    case 'answered':
      return {
        protocol,
        originalPort,
        in: bridge,
        out: link,
        mac: null,
        ...(way === 'answering'
          ? { source: ip, sourcePort: port }
          : { source: address, sourcePort: originalPort }),
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

/** The place of a chain. */
interface Place {
  readonly hook: string | null;
  readonly priority: number;
  readonly isForNat: boolean;
  /** True for a chain that is for the link to the outside. */
  readonly isOnUplink: boolean;
}

/** Returns the packets that a chain sees. One at the very priority of a translation sees them before or after it. */
function waysAt({ hook, priority, isForNat, isOnUplink }: Place): readonly Way[] {
  switch (hook) {
    case 'ingress':
      return isOnUplink ? ['arriving'] : [];
    case 'egress':
      return isOnUplink ? ['answered'] : [];
    case 'prerouting': {
      if (priority < translationPriority)
        return priority > trackingPriority && !isForNat ? ['arriving', 'answering'] : ['arriving'];
      return priority > translationPriority && !isForNat ? ['forwarded', 'answering'] : [];
    }
    case 'forward':
      return ['forwarded', 'answering'];
    case 'postrouting': {
      if (isForNat || priority === returnPriority) return ['forwarded'];
      return ['forwarded', priority < returnPriority ? 'answering' : 'answered'];
    }
  }
  return [];
}

/** Returns a packet with the links that are known for certain at a hook. */
function asSeenAt(hook: string | null, packet: Packet): Packet {
  switch (hook) {
    case 'prerouting':
    case 'ingress':
      return { ...packet, out: null };
    case 'postrouting':
    case 'egress':
      return { ...packet, in: null };
  }
  return packet;
}
