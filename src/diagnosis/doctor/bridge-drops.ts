// Finds rules of other programs that drop frames from machine to machine, or may: in the family bridge of nft, where
// ebtables has its rules, too, and among those of IPv4 where br_netfilter hands frames to them. No probe goes from
// machine to machine.
//   table bridge corp { chain f { type filter hook forward priority 0; iifname "vnet1" drop; } }
import { type BaseChain, type HostRules, readRuleText } from '../../other-firewalls/base-chains.ts';
import type { Chain } from '../../other-firewalls/model.ts';
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
  rules: HostRules,
  taps: readonly string[],
): Promise<Drop | null> {
  const { ofFrames } = await rules.chains();
  const found = findBridgeDrop(ofFrames, taps);
  if (found === null || found.rule === null) return found;
  const { family, table, chain, rule: handle } = found;
  const place = { family, table, name: chain, hook: null, policy: null };
  return { ...found, rule: (await readRuleText(system, place, chain, handle)) ?? `handle ${handle}` };
}

/** Reads the first rule of IPv4 that drops frames from port to port for certain, if br_netfilter hands them to it. */
export async function readHandedDrop(
  system: Pick<System, 'run'>,
  rules: HostRules,
  bridge: string,
): Promise<Drop | null> {
  const found = findHandedDrop((await rules.chains()).ofPackets, bridge);
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

/** Returns the same as `readBridgeDrop` from these chains, with the handle of a rule in place of its text. */
export function findBridgeDrop(bases: readonly BaseChain[], taps: readonly string[]): Drop | null {
  const frames = taps.slice(0, maxTaps).flatMap((tap): Packet[] => [
    { ...unknownPacket, in: tap, isToHost: false },
    { ...unknownPacket, out: tap, isToHost: false },
  ]);
  for (const { base, chains } of bases) {
    const { family, table, name, hook, policy } = base;
    if (hook === null || !hooks.includes(hook) || ownChainOf({ family, table, chain: name }) !== null)
      continue;
    for (const frame of frames) {
      const drop = findDroppingRules(chains, name, frame).find(each => !ofNwfilter.test(each.chain));
      const links = { in: frame.in, out: frame.out };
      if (drop !== undefined) return { family, table, chain: drop.chain, rule: drop.rule.id, links };
      if (policy === 'drop' && !isAccepted(chains, name, frame))
        return { family, table, chain: name, rule: null, links };
    }
  }
  return null;
}
