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
import { parseNftTables } from './nft-rules.ts';
import { type FilterChains, isAccepted, type Packet, unknownPacket } from './packet.ts';
import { otherFirewalls } from './registry.ts';
import { parseSavedRules } from './saved-rules.ts';

/** Most chains that are searched for the rule of the proposed command. */
const maxChains = 8;

/** Most lines of a chain whose rules are judged: a hook waits for it. */
const maxLines = 1000;

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

/** Returns the unknown chains that lack the rule of the command that virlan proposes, and others as wide as that. */
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
        const isPassed = await letsMachinesPass(system, bridge, chain, reading);
        return isPassed ? [] : [{ chain, unreadable: null }];
      } catch (error) {
        return [{ chain, unreadable: error as Error }];
      }
    });
  return (await Promise.all(found)).flat();
}

/** Returns whether a chain has the rule of the proposed command, or rules of its own that are as wide. */
async function letsMachinesPass(
  { run }: Pick<System, 'run'>,
  bridge: string,
  chain: Chain,
  reading: OtherFirewallsReading,
): Promise<boolean> {
  const { family, table, name } = chain;
  const mark = proposedMarkOf(bridge);
  const saved = savedLinesOf(chain, reading);
  if (saved.length > 0) {
    const isProposed = (line: string) =>
      line.startsWith(`-A ${name} `) && line.includes(`--comment ${mark} -j ACCEPT`);
    if (saved.some(isProposed)) return true;
    return saved.length <= maxLines && acceptsMachines(parseSavedRules(saved), chain, bridge);
  }
  const nft = (...args: readonly string[]) => run('nft', args, { timeoutSeconds: listTimeoutSeconds });
  const listing = await nft('--stateless', 'list', 'chain', family, table, name);
  if (listing.includes(`accept comment "${mark}"`)) return true;
  if (listing.split('\n').length > maxLines) return false;
  const [listed] = parseNftTables(await nft('--json', '--stateless', 'list', 'table', family, table));
  return listed !== undefined && acceptsMachines(listed.chains, chain, bridge);
}

/** Returns the lines of the chain's table in iptables; none for a table of nft alone, or one that was not listed. */
function savedLinesOf(chain: Chain, { iptables, legacy }: OtherFirewallsReading): readonly string[] {
  if (chain.family === legacyFamily) return legacy.get(chain.table) ?? [];
  return isIptablesBuiltin(chain) ? iptables : [];
}

/**
 * Returns whether the chain's own rules accept for certain all packets of the bridge that have to pass there. Those
 * of port forwards are judged with the forwards.
 */
export function acceptsMachines(rules: FilterChains, chain: Chain, bridge: string): boolean {
  const hook = hookOnTheWay(chain);
  if (hook === null) return false;
  const packets = accepted[hook]
    .filter(match => match !== 'translated')
    .flatMap(match => packetsOf(match, bridge));
  return packets.every(packet => isAccepted(rules, chain.name, packet));
}

function packetsOf(match: Exclude<BridgeMatch, 'translated'>, bridge: string): Packet[] {
  const links = match === 'from' ? { in: bridge } : { out: bridge };
  const states = ['established', 'related', ...(match === 'replies' ? [] : ['new' as const])] as const;
  return (['tcp', 'udp', 'icmp'] as const).flatMap(protocol =>
    states.map(state => ({ ...unknownPacket, ...links, protocol, state })),
  );
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
