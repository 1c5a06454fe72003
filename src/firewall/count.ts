import type { Backend } from '../network/state.ts';

/** How many rules a script of virlan's has, or a listing of the kernel's, jumps included; each is a line of its own. */
export function countRules(backend: Backend, lines: readonly string[]): number {
  const rule = backend === 'nftables' ? /^\t\t(?!type )[^\t ]/ : /^-[AI] /;
  return lines.filter(line => rule.test(line)).length;
}
