// Finds rules and policies of other programs that drop the packets of tunnels between this host and others.
import type { Ipv4 } from '../address/ip.ts';
import { vxlanPort } from '../address/port.ts';
import type { System } from '../system/system.ts';
import { type BaseChain, type HostRules, readRuleText } from './base-chains.ts';
import type { Chain } from './model.ts';
import { ownChainOf } from './own-chains.ts';
import { findCertainDrop, type Packet } from './packet.ts';

/** The ends of tunnels, as the packets between hosts show them. */
export interface TunnelEnds {
  /** The address of this host. */
  readonly address: Ipv4;
  readonly peers: readonly Ipv4[];
  /** The link with the address; null where it is not known. */
  readonly link: string | null;
}

/** A rule or policy that drops packets of tunnels. All names and texts of other programs in it are hostile. */
export interface TunnelDrop {
  readonly way: 'arriving' | 'leaving';
  /** The other hosts whose packets, or packets to whom, it drops. */
  readonly peers: readonly Ipv4[];
  /** The chain that packets come to first. */
  readonly base: Chain;
  /** The chain that the rule is in. */
  readonly chain: string;
  readonly by: 'rule' | 'policy';
  /** The text of the rule; null for a policy, and where nft does not show it. */
  readonly rule: string | null;
  /** The program that has to be told: a rule added by hand would be lost at its next start. */
  readonly owner: 'ufw' | 'firewalld' | null;
}

/** A source port as the kernel chooses it for each flow. */
const flowPort = 50_000;

const ways: Readonly<Record<string, TunnelDrop['way']>> = {
  prerouting: 'arriving',
  input: 'arriving',
  output: 'leaving',
  postrouting: 'leaving',
};

/** Returns what drops packets of tunnels for certain. */
export async function findTunnelDrops(
  system: Pick<System, 'run'>,
  rules: HostRules,
  ends: TunnelEnds,
): Promise<TunnelDrop[]> {
  const drops = judgeTunnels((await rules.chains()).ofPackets, ends);
  return Promise.all(
    drops.map(async drop => {
      const { base, chain, rule } = drop;
      return { ...drop, rule: rule === null ? null : await readRuleText(system, base, chain, rule) };
    }),
  );
}

/** Judges the packets between these ends; `rule` is the rule's text, or its handle in nftables. Pure. */
export function judgeTunnels(bases: readonly BaseChain[], ends: TunnelEnds): TunnelDrop[] {
  return bases
    .filter(({ base }) => ownChainOf({ ...base, chain: base.name }) === null)
    .flatMap(({ base, chains }) => {
      const way = ways[base.hook ?? ''];
      if (way === undefined) return [];
      const owner = ownerOf(base, chains.has('ufw-before-input'));
      const drops = new Map<string, TunnelDrop>();
      for (const peer of ends.peers) {
        const found = findCertainDrop(chains, base, packetOf(way, ends, peer));
        if (found === null) continue;
        const { chain } = found;
        const rule = found.rule?.id ?? null;
        const key = JSON.stringify([chain, rule]);
        const peers = [...(drops.get(key)?.peers ?? []), peer];
        drops.set(key, { way, peers, base, chain, by: rule === null ? 'policy' : 'rule', rule, owner });
      }
      return [...drops.values()];
    });
}

function ownerOf({ table, name, hook }: Chain, hasUfw: boolean): TunnelDrop['owner'] {
  if (table === 'firewalld') return 'firewalld';
  const isOfUfw = table === 'filter' && (name === 'INPUT' || name === 'OUTPUT') && hook !== null;
  return hasUfw && isOfUfw ? 'ufw' : null;
}

function packetOf(way: TunnelDrop['way'], { address, link }: TunnelEnds, peer: Ipv4): Packet {
  const isArriving = way === 'arriving';
  return {
    in: isArriving ? link : null,
    out: isArriving ? null : link,
    mac: null,
    protocol: 'udp',
    source: isArriving ? peer : address,
    destination: isArriving ? address : peer,
    sourcePort: flowPort,
    destinationPort: vxlanPort,
    originalPort: vxlanPort,
    flags: [],
    // Packets of both ways have the same destination port: none is an answer to another.
    state: 'new',
    direction: 'original',
    isToHost: isArriving,
    isTranslated: false,
  };
}
