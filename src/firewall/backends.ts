// All firewall backends, and the choice among them.
import type { Family } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import { VirlanError } from '../errors.ts';
import type { Backend, BackendName, RulesScript } from './backend.ts';
import { iptables } from './iptables.ts';
import { nftables } from './nftables.ts';
import type { Ruleset } from './ruleset.ts';

export const backends: Readonly<Record<BackendName, Backend>> = { nftables, iptables };

/** In order of preference. */
export const backendNames = ['nftables', 'iptables'] as const satisfies readonly BackendName[];

/** The families that each backend can load rules of on this host. */
export type UsableFamilies = Readonly<Record<BackendName, readonly Family[]>>;

/**
 * The choice of a backend and its reason: part of the decision trail that `virlan doctor --verbose` shows.
 */
export interface BackendChoice {
  readonly kind: 'backend';
  readonly chosen: BackendName;
  readonly reason: 'configured' | 'preferred' | 'only-one-installed';
  readonly available: readonly BackendName[];
}

/** Returns the backends whose programs for IPv4 are installed. */
export function availableBackends(isInstalled: (program: string) => boolean): BackendName[] {
  return backendNames.filter(name => backends[name].programs('ipv4').every(isInstalled));
}

/** Returns the families whose programs are installed, among those that the kernel has. */
export function usableFamilies(
  kernelFamilies: readonly Family[],
  isInstalled: (program: string) => boolean,
): UsableFamilies {
  const of = (name: BackendName) =>
    kernelFamilies.filter(family => backends[name].programs(family).every(isInstalled));
  return { nftables: of('nftables'), iptables: of('iptables') };
}

/**
 * Chooses the backend of a network. Throws VirlanError when none that the configuration allows is available.
 */
export function chooseBackend(
  { firewall }: Pick<NetworkConfig, 'firewall'>,
  available: readonly BackendName[],
): BackendChoice {
  const [preferred] = backendNames.filter(name => available.includes(name));
  const chosen = firewall === 'auto' ? (preferred ?? 'iptables') : firewall;
  if (!available.includes(chosen)) {
    const [program = ''] = backends[chosen].programs('ipv4');
    throw new VirlanError('no-backend', `${program} is not installed on this host: install ${chosen}`);
  }
  const automatic = available.length === 1 ? 'only-one-installed' : 'preferred';
  return { kind: 'backend', chosen, reason: firewall === 'auto' ? automatic : 'configured', available };
}

/**
 * Returns the rules of a network as scripts: the chosen backend's first, then those that others must load for
 * it.
 */
export function rulesScripts(
  ruleset: Ruleset,
  chosen: BackendName,
  available: readonly BackendName[],
): RulesScript[] {
  const { bridge, family } = ruleset;
  const backend = backends[chosen];
  const primary: RulesScript = {
    bridge,
    family,
    backend: chosen,
    role: 'primary',
    script: backend.render(ruleset),
  };
  return [primary, ...backend.companions(ruleset, available)];
}
