// Leaves out single rules that the kernel refuses, and without which a network works.
import type { Lacking } from './backend.ts';
import type { Rule, Ruleset } from './rule.ts';

/** Returns a ruleset without the rules that the kernel lacks a module for: nft_connlimit, nft_exthdr, xt_TCPMSS. */
export function withoutLackingRules(ruleset: Ruleset, lacking: readonly Lacking[]): Ruleset {
  const isLoaded = ({ surplus, verdict }: Rule) =>
    !(surplus === true && lacking.includes('connection-limit')) &&
    !(verdict.kind === 'clamp-mss' && lacking.includes('clamp-mss'));
  return {
    ...ruleset,
    forward: ruleset.forward.filter(isLoaded),
    input: { ...ruleset.input, rules: ruleset.input.rules.filter(isLoaded) },
  };
}
