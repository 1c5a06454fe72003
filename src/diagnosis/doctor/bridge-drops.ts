// Finds rules of other programs that may drop frames from machine to machine: in the family bridge of nft, where
// ebtables has its rules, too. No probe goes from machine to machine.
//   table bridge corp { chain f { type filter hook forward priority 0; iifname "vnet1" drop; } }
import { createRulesReader } from '../../firewall/rules-reader.ts';
import { readRuleText } from '../../other-firewalls/base-chains.ts';
import { parseNftTables } from '../../other-firewalls/nft-rules.ts';
import { ownChainOf } from '../../other-firewalls/own-chains.ts';
import { findDroppingRules, isAccepted, type Packet, unknownPacket } from '../../other-firewalls/packet.ts';
import type { System } from '../../system/system.ts';
import type { Drop } from '../details.ts';

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

/** Returns the same from what `nft --json list ruleset` prints, with the handle of the rule in place of its text. */
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
