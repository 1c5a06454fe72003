// Chains of programs that virlan does not know and that drop what none of their rules accepts. virlan changes
// nothing there; it names the chain, and a command that lets machines pass.
import type { BackendName } from '../firewall/backend.ts';
import { listTimeoutSeconds } from '../firewall/rules-reader.ts';
import type { System } from '../system/system.ts';
import {
  type Chain,
  dropsByPolicy,
  type HookOnTheWay,
  hookOnTheWay,
  iptablesProgramOf,
  isIptablesBuiltin,
  legacyFamily,
  type OtherFirewallsReading,
  otherFirewallNames,
  proposedMarkOf,
} from './model.ts';
import { otherFirewalls } from './registry.ts';

/** Most chains that are searched for the rule of the proposed command. */
const maxChains = 8;

/** A chain that packets of machines meet and may not pass. Its names are hostile. */
export interface UnknownChain {
  readonly chain: Chain;
  /** The error because of which its rules could not be read; null when they lack the proposed rule. */
  readonly unreadable: Error | null;
}

/**
 * Returns the chains that drop by policy and for which no known program answers. With the backend iptables,
 * virlan's rules come before the policy of the chains of iptables that they are in.
 */
export function unknownChains(backend: BackendName, reading: OtherFirewallsReading): Chain[] {
  const isAnswered = (chain: Chain) =>
    (backend === 'iptables' && isIptablesBuiltin(chain) && chain.hook !== 'output') ||
    otherFirewallNames.some(name => otherFirewalls[name].answersFor(chain, reading));
  return reading.chains.filter(chain => dropsByPolicy(chain) && !isAnswered(chain));
}

/** Returns the unknown chains that lack the rule of the command that virlan proposes. */
export async function findUnknownChains(
  system: System,
  bridge: string,
  backend: BackendName,
  reading: OtherFirewallsReading,
): Promise<UnknownChain[]> {
  const found = unknownChains(backend, reading)
    .slice(0, maxChains)
    .map(async chain => {
      try {
        const hasRule = await hasProposedRule(system, bridge, chain, reading);
        return hasRule ? [] : [{ chain, unreadable: null }];
      } catch (error) {
        return [{ chain, unreadable: error as Error }];
      }
    });
  return (await Promise.all(found)).flat();
}

async function hasProposedRule(
  system: System,
  bridge: string,
  chain: Chain,
  { iptables, legacy }: OtherFirewallsReading,
): Promise<boolean> {
  const { family, table, name } = chain;
  const mark = proposedMarkOf(bridge);
  const lines =
    family === legacyFamily ? (legacy.get(table) ?? []) : isIptablesBuiltin(chain) ? iptables : [];
  if (lines.length > 0)
    return lines.some(line => line.startsWith(`-A ${name} `) && line.includes(`--comment ${mark} -j ACCEPT`));
  const args = ['--stateless', 'list', 'chain', family, table, name];
  const listing = await system.run('nft', args, { timeoutSeconds: listTimeoutSeconds });
  return listing.includes(`accept comment "${mark}"`);
}

/** Conditions by which packets of a bridge are known at a hook. */
type BridgeMatch = 'from' | 'to' | 'replies' | 'translated';

/**
 * The packets to accept at each hook; those that a forward translates come from other hosts. At the first and the
 * last one, replies of the outside and packets to it cannot be told by the bridge: the host's own way through that
 * chain has to serve.
 */
const accepted: Readonly<Record<HookOnTheWay, readonly BridgeMatch[]>> = {
  prerouting: ['from'],
  input: ['from'],
  forward: ['from', 'replies', 'translated'],
  output: ['to'],
  postrouting: ['to'],
};

/**
 * Returns a command that lets the bridge's packets pass the chain; null when a name in it holds more than
 * nft's identifiers may, and could mean something else to a shell.
 */
export function proposedCommand(bridge: string, chain: Chain): string | null {
  const { family, table, name } = chain;
  const hook = hookOnTheWay(chain);
  if (hook === null || ![table, name].every(word => /^[A-Za-z0-9_.-]+$/.test(word))) return null;
  const mark = proposedMarkOf(bridge);
  // In the bridge family, frames that are forwarded stay on the bridge.
  const matches = family === 'bridge' && hook === 'forward' ? (['from'] as const) : accepted[hook];
  const program = iptablesProgramOf(chain);
  if (program !== null) {
    const where = table === 'filter' ? '' : `-t ${table} `;
    const insert = (match: string) =>
      `${program} ${where}-I ${name} ${match} -m comment --comment ${mark} -j ACCEPT`;
    return matches.map(match => insert(iptablesMatches[match](bridge))).join(' && ');
  }
  const link = family === 'bridge' ? { from: 'ibrname', to: 'obrname' } : { from: 'iifname', to: 'oifname' };
  const insert = (match: BridgeMatch) => {
    const words = match === 'from' ? `${link.from} "${bridge}"` : `${link.to} "${bridge}"`;
    return `insert rule ${family} ${table} ${name} ${words}${states[match]} accept comment "${mark}"`;
  };
  return `nft '${matches.map(insert).join('; ')}'`;
}

/** The further condition of a rule of nft. */
const states: Readonly<Record<BridgeMatch, string>> = {
  from: '',
  to: '',
  replies: ' ct state established,related',
  translated: ' ct status dnat',
};

const iptablesMatches: Readonly<Record<BridgeMatch, (bridge: string) => string>> = {
  from: bridge => `-i ${bridge}`,
  to: bridge => `-o ${bridge}`,
  replies: bridge => `-o ${bridge} -m conntrack --ctstate RELATED,ESTABLISHED`,
  translated: bridge => `-o ${bridge} -m conntrack --ctstate DNAT`,
};
