// virlan's rules in chains of other programs in iptables' table `filter`, which are found again by a comment:
//   -A DOCKER-USER -i k8s-br0 -m comment --comment virlan-k8s-br0 -j ACCEPT
import type { System } from '../system/system.ts';
import { markOf } from './model.ts';

export interface IptablesRule {
  readonly kind: 'iptables-rule';
  readonly rule: string;
}

/** Returns the match that marks a rule as virlan's, as `iptables-save` writes it. */
export function marking(bridge: string): string {
  return `-m comment --comment ${markOf(bridge)}`;
}

/** Returns those lines of `iptables-save` that carry the mark and match `pattern`. */
export function markedRules(bridge: string, lines: readonly string[], pattern: RegExp): IptablesRule[] {
  return lines
    .filter(line => line.includes(` ${marking(bridge)} `) && pattern.test(line))
    .map(rule => ({ kind: 'iptables-rule', rule }));
}

/**
 * Returns a jump to another program's chain where the program's own jump is missing because the chain was
 * flushed: the program restores it only when it starts again.
 */
export function lostJump(bridge: string, lines: readonly string[], from: string, to: string): IptablesRule[] {
  return lines.includes(`-A ${from} -j ${to}`)
    ? []
    : [{ kind: 'iptables-rule', rule: `-A ${from} ${marking(bridge)} -j ${to}` }];
}

/**
 * Inserts rules at the top of other programs' chains and deletes others, in one transaction. Throws
 * CommandError.
 */
export async function changeRules(
  system: System,
  missing: readonly IptablesRule[],
  stale: readonly IptablesRule[],
): Promise<void> {
  if (missing.length + stale.length === 0) return;
  const changes = [
    ...stale.map(({ rule }) => rule.replace(/^-A /, '-D ')),
    ...missing.map(({ rule }) => rule.replace(/^-A (\S+) /, '-I $1 1 ')),
  ];
  const script = ['*filter', ...changes, 'COMMIT', ''].join('\n');
  await system.run('iptables-restore', ['--noflush', '--wait', '5'], { input: script });
}
