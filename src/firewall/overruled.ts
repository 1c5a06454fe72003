// Finds the rules of others that virlan's masquerading comes before with iptables: it is for packets about which
// nobody else decides, and its jump belongs behind them. What others masquerade leaves by the same address anyway.
//
//   -A POSTROUTING -j VIRLAN-POST-lab
//   -A POSTROUTING -s 10.0.0.0/24 -o eth0 -j SNAT --to-source 203.0.113.9
import { type Prefix, prefixesOverlap } from '../address/ip.ts';
import { parseClients } from '../config/forward.ts';
import { splitTables } from './iptables-tables.ts';

/** Targets that give packets another source, or let them keep their own. */
const deciding: readonly string[] = ['SNAT', 'NETMAP', 'ACCEPT'];

/**
 * Returns the rules behind the jump to virlan's chain, in the output of iptables-save, that may decide about machines.
 * Their sources alone are compared with those that virlan's chain masquerades.
 */
export function overruledRules(save: string, ownChain: string): string[] {
  const nat = splitTables(save.split('\n')).get('nat') ?? [];
  const rulesOf = (chain: string) => nat.filter(line => line.startsWith(`-A ${chain} `));
  const machines = rulesOf(ownChain)
    .filter(line => targetOf(line) === 'MASQUERADE')
    .flatMap(sourceOf);
  const called = rulesOf('POSTROUTING');
  const jump = called.findIndex(line => targetOf(line) === ownChain);
  if (jump === -1) return [];
  const searched = new Set<string>();
  const decides = (line: string, ends: readonly string[]): boolean => {
    const target = targetOf(line);
    const [source] = sourceOf(line);
    if (source !== undefined && !machines.some(prefix => prefixesOverlap(prefix, source))) return false;
    if (ends.includes(target)) return true;
    if (target.startsWith('VIRLAN-') || searched.has(target)) return false;
    searched.add(target);
    return rulesOf(target).some(rule => decides(rule, deciding));
  };
  return called.slice(jump + 1).filter(line => decides(line, [...deciding, 'RETURN']));
}

function targetOf(line: string): string {
  return / -[jg] (\S+)/.exec(line.replace(/"(?:\\.|[^"\\])*"/g, ''))?.[1] ?? '';
}

/** Returns the source that a rule names; none for one that is for any, or for all but one. */
function sourceOf(line: string): Prefix[] {
  const source = parseClients(/^-A \S+ -s (\S+)/.exec(line)?.[1] ?? '');
  return source === null ? [] : [source];
}
