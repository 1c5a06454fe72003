import { markOf } from './model.ts';

/** Matches that mark a rule of iptables as virlan's for a bridge, as `iptables-save` writes them. */
export function marking(bridge: string): string {
  return `-m comment --comment ${markOf(bridge)}`;
}

/** Whether a line is a rule of iptables, and no other program's word. */
export function isRule(line: string): boolean {
  return line.startsWith('-A ');
}

/** Of the lines of `iptables-save` those that are marked and are of this kind. */
export function markedRules(bridge: string, lines: readonly string[], kind: RegExp): string[] {
  return lines.filter(line => line.includes(` ${marking(bridge)} `) && kind.test(line));
}

/**
 * The jump to another program's chain, where its own is not there: somebody flushed the chain that leads to it, and does
 * without until that program starts anew.
 */
export function lostJump(bridge: string, lines: readonly string[], from: string, to: string): string[] {
  return lines.includes(`-A ${from} -j ${to}`) ? [] : [`-A ${from} ${marking(bridge)} -j ${to}`];
}

/** The script for `iptables-restore --noflush` that puts rules on top of others' chains, and takes some away. */
export function replaceRules(missing: readonly string[], stale: readonly string[]): string {
  const changes = [
    ...stale.map(line => line.replace(/^-A /, '-D ')),
    ...missing.map(line => line.replace(/^-A (\S+) /, '-I $1 1 ')),
  ];
  return ['*filter', ...changes, 'COMMIT', ''].join('\n');
}
