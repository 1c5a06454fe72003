// Finds rules of other programs that drop frames from machine to machine, or may: in the family bridge of nft, where
// ebtables has its rules, too, and among those of IPv4 where br_netfilter hands frames to them. No probe goes from
// machine to machine.
//   table bridge corp { chain f { type filter hook forward priority 0; iifname "vnet1" drop; } }
import { createRulesReader } from '../../firewall/rules-reader.ts';
import { type BaseChain, readBaseChains, readRuleText } from '../../other-firewalls/base-chains.ts';
import type { Chain } from '../../other-firewalls/model.ts';
import { parseNftTables } from '../../other-firewalls/nft-rules.ts';
import { ownChainOf } from '../../other-firewalls/own-chains.ts';
import {
  findCertainDrop,
  findDroppingRules,
  isAccepted,
  type Packet,
  unknownPacket,
} from '../../other-firewalls/packet.ts';
import type { System } from '../../system/system.ts';
import type { Drop } from '../packet-drop.ts';

/** The hooks that frames between ports of a bridge pass. */
const hooks = ['prerouting', 'forward', 'postrouting'];

/** Chains of libvirt's filters of networks (nwfilter), which a machine's definition asks for: `I-vnet0-mac`. */
const ofNwfilter = /^(?:libvirt-)?[IJOP]-/;

/** Most taps whose frames are judged. */
const maxTaps = 64;

/** Reads the first rule that may drop frames of machines with these taps; null for none, and where nft fails. */
export async function readBridgeDrop(
  system: Pick<System, 'run'>,
  taps: readonly string[],
): Promise<Drop | null> {
  const ruleset = await createRulesReader(system)
    .ruleset()
    .catch(() => '');
  const found = findBridgeDrop(ruleset, taps);
  if (found === null || found.rule === null) return found;
  const { family, table, chain, rule: handle } = found;
  const place = { family, table, name: chain, hook: null, policy: null };
  return { ...found, rule: (await readRuleText(system, place, chain, handle)) ?? `handle ${handle}` };
}

/** Reads the first rule of IPv4 that drops frames from port to port for certain, if br_netfilter hands them to it. */
export async function readHandedDrop(
  system: Pick<System, 'run' | 'readFile' | 'leadsTo'>,
  bridge: string,
): Promise<Drop | null> {
  const found = findHandedDrop(await readBaseChains(system, createRulesReader(system)), bridge);
  if (found === null || found.drop.rule === null) return found?.drop ?? null;
  const { base, drop } = found;
  const rule = await readRuleText(system, base, drop.chain, found.drop.rule);
  return { ...drop, rule: rule ?? `handle ${drop.rule}` };
}

/** Returns the same from these chains, with the handle of a rule of nftables in place of its text. */
export function findHandedDrop(
  bases: readonly BaseChain[],
  bridge: string,
): { readonly base: Chain; readonly drop: Drop } | null {
  const links = { in: bridge, out: bridge };
  const frame: Packet = { ...unknownPacket, ...links, protocol: 'tcp', flags: ['syn'], isToHost: false };
  for (const { base, chains } of bases) {
    const found = base.hook === 'forward' ? findCertainDrop(chains, base, frame) : null;
    if (found === null || ownChainOf({ ...base, chain: found.chain }) !== null) continue;
    const { family, table } = base;
    return { base, drop: { family, table, chain: found.chain, rule: found.rule?.id ?? null, links } };
  }
  return null;
}

/** Returns the same as `readBridgeDrop` from what `nft --json list ruleset` prints, with handles in place of texts. */
export function findBridgeDrop(ruleset: string, taps: readonly string[]): Drop | null {
  const frames = taps.slice(0, maxTaps).flatMap((tap): Packet[] => [
    { ...unknownPacket, in: tap, isToHost: false },
    { ...unknownPacket, out: tap, isToHost: false },
  ]);
  for (const { family, table, chains, baseChains } of parseNftTables(ruleset)) {
    if (family !== 'bridge') continue;
    for (const { name, hook, policy } of baseChains) {
      if (!hooks.includes(hook) || ownChainOf({ family, table, chain: name }) !== null) continue;
      for (const frame of frames) {
        const drop = findDroppingRules(chains, name, frame).find(each => !ofNwfilter.test(each.chain));
        const links = { in: frame.in, out: frame.out };
        if (drop !== undefined) return { family, table, chain: drop.chain, rule: drop.rule.id, links };
        if (policy === 'drop' && !isAccepted(chains, name, frame))
          return { family, table, chain: name, rule: null, links };
      }
    }
  }
  return null;
}
