// Tells virlan's own chains from those of other programs, by their names.
import { legacyFamily } from './model.ts';

/** The purpose of a chain's rules. */
export type OwnRules = 'forward' | 'input' | 'translation' | 'loopback' | 'guard' | 'tunnel';

export interface OwnChain {
  /** The bridge of the network that the chain is for. */
  readonly bridge: string;
  readonly rules: OwnRules;
}

/** Chains in the table of a network: see firewall/nftables.ts. */
const ofNftables: Readonly<Record<string, OwnRules>> = {
  forward: 'forward',
  input: 'input',
  postrouting: 'translation',
  early: 'loopback',
};

/** The part of a chain's name that tells what it is for: see firewall/iptables.ts. */
const ofIptables: Readonly<Record<string, OwnRules>> = {
  FWD: 'forward',
  LFWD: 'forward',
  INP: 'input',
  LATE: 'input',
  POST: 'translation',
  PRE: 'loopback',
  OUT: 'translation',
  DNAT: 'translation',
};

/**
 * Returns what a chain is for; null if it is not virlan's own. The counters of a probe drop nothing, and do not count.
 */
export function ownChainOf(place: {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
}): OwnChain | null {
  const { family, table, chain } = place;
  if (family === 'ip' || family === 'ip6' || family === legacyFamily) {
    const [, part = '', ofChain] = /^VIRLAN-([A-Z]+)-(\S+)$/.exec(chain) ?? [];
    const rules = ofIptables[part];
    if (ofChain !== undefined && rules !== undefined) return { bridge: ofChain, rules };
  }
  const [, bridge] = /^virlan-(.+)$/.exec(table) ?? [];
  if (bridge === undefined || !['ip', 'ip6', 'bridge'].includes(family)) return null;
  const [, tunnelled] = /^tunnel-(.+)$/.exec(bridge) ?? [];
  if (family === 'bridge')
    return tunnelled === undefined ? { bridge, rules: 'guard' } : { bridge: tunnelled, rules: 'tunnel' };
  const rules = ofNftables[chain];
  if (rules !== undefined) return { bridge, rules };
  return tunnelled === undefined ? { bridge, rules: 'translation' } : { bridge: tunnelled, rules: 'tunnel' };
}
