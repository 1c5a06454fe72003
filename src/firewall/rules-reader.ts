// Lists rules of the kernel. The listings of iptables and of all of nftables are read at most once per reader.
import type { Family } from '../address/ip.ts';
import { isAnswer } from '../answers.ts';
import type { System } from '../system/system.ts';

/** Longest time for listing rules: a hook waits for it. Five seconds were too short for an upgrade on a busy host. */
export const listTimeoutSeconds = 10;

/** A flavour of iptables, as its programs are named: `iptables-legacy-save`. */
export type Flavour = 'nft' | 'legacy';

export interface RulesReader {
  /** Returns one nftables table as text; empty when there is none. Throws CommandError when nft cannot answer. */
  nftTable(family: Family, table: string): Promise<string>;
  /**
   * Returns the whole ruleset of nftables as JSON, read when first asked for; empty when nft fails. Throws as above.
   */
  ruleset(): Promise<string>;
  /** Returns the output of iptables-save, read when first asked for; empty when it fails. Throws as above. */
  savedIptables(family: Family): Promise<string>;
  /** Does the same by the program of one flavour. */
  savedByFlavour(flavour: Flavour, family: Family): Promise<string>;
}

/** nft's names of the families. */
export const nftFamily: Readonly<Record<Family, string>> = { ipv4: 'ip', ipv6: 'ip6' };

/** Prefix of the iptables programs of each family. */
export const iptablesPrefix: Readonly<Record<Family, string>> = { ipv4: 'iptables', ipv6: 'ip6tables' };

/** Returns a reader that keeps listings: use it for one reading of the host only. */
export function createRulesReader(system: Pick<System, 'run'>): RulesReader {
  const saved = new Map<string, Promise<string>>();
  const save = (program: string, args: readonly string[] = []) => {
    const listing = saved.get(program) ?? list(system, program, args);
    saved.set(program, listing);
    return listing;
  };
  return {
    nftTable: (family, table) =>
      list(system, 'nft', ['--stateless', '--numeric', 'list', 'table', nftFamily[family], table]),
    ruleset: () => save('nft', ['--json', 'list', 'ruleset']),
    savedIptables: family => save(`${iptablesPrefix[family]}-save`),
    savedByFlavour: (flavour, family) => save(`${iptablesPrefix[family]}-${flavour}-save`),
  };
}

/**
 * A failing program means "no rules". One without an answer throws, because "no rules" would make virlan reload them.
 */
async function list(system: Pick<System, 'run'>, program: string, args: readonly string[]): Promise<string> {
  try {
    return await system.run(program, args, { timeoutSeconds: listTimeoutSeconds });
  } catch (error) {
    if (isAnswer(error)) return '';
    throw error;
  }
}
