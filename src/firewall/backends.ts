// All firewall backends, and the choice among them.

import type { Family } from '../address/ip.ts';
import { isAnswer, isPassing } from '../answers.ts';
import type { NetworkConfig } from '../config/config.ts';
import { VirlanError } from '../errors.ts';
import { type Backend, type BackendName, backendNames, type Lacking, type RulesScript } from './backend.ts';
import { iptables } from './iptables.ts';
import { nftables } from './nftables.ts';
import type { Ruleset } from './rule.ts';

export const backends: Readonly<Record<BackendName, Backend>> = { nftables, iptables };

/** The families that each backend can load rules of on this host. */
export type UsableFamilies = Readonly<Record<BackendName, readonly Family[]>>;

/**
 * The choice of a backend and its reason: part of the decision trail that `virlan doctor --verbose` shows.
 */
export interface BackendChoice {
  readonly kind: 'backend';
  readonly chosen: BackendName;
  readonly reason: 'configured' | 'preferred' | 'only-one-installed' | 'others-refused';
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
 * Chooses the backend of a network. `auto` prefers one whose rules the kernel has not refused. Throws
 * VirlanError when none that the configuration allows is available.
 */
export function chooseBackend(
  { firewall }: Pick<NetworkConfig, 'firewall'>,
  available: readonly BackendName[],
  lacking: readonly Lacking[],
): BackendChoice {
  const candidates = backendNames.filter(name => available.includes(name));
  const [preferred = 'iptables'] = candidates;
  const working = candidates.find(name => !lacking.includes(name)) ?? preferred;
  const chosen = firewall === 'auto' ? working : firewall;
  if (!available.includes(chosen)) {
    const [program = ''] = backends[chosen].programs('ipv4');
    throw new VirlanError('no-backend', `${program} is not installed on this host: install ${chosen}`);
  }
  const automatic = available.length === 1 ? 'only-one-installed' : 'preferred';
  const reason = chosen === preferred ? automatic : 'others-refused';
  return { kind: 'backend', chosen, reason: firewall === 'auto' ? reason : 'configured', available };
}

/**
 * Returns the rules of a network as scripts: the chosen backend's first, then those that others must load for
 * it.
 */
export function rulesScripts(
  ruleset: Ruleset,
  chosen: BackendName,
  available: readonly BackendName[],
  lacking: readonly Lacking[],
): RulesScript[] {
  const { bridge, family } = ruleset;
  const backend = backends[chosen];
  const primary: RulesScript = {
    bridge,
    family,
    backend: chosen,
    role: 'primary',
    script: backend.render(ruleset, lacking),
  };
  return [primary, ...(lacking.includes('checksum') ? [] : backend.companions(ruleset, available))];
}

/** A load that the kernel refused. */
export interface RefusedLoad extends Pick<RulesScript, 'backend' | 'family' | 'role'> {
  readonly error: Error;
}

/**
 * Returns what the kernel may lack beyond `known`, after it refused to load rules; null where nothing is left
 * to be done without. Only a load without it shows whether it was that.
 */
export function nextLacking(
  { firewall }: Pick<NetworkConfig, 'firewall'>,
  available: readonly BackendName[],
  known: readonly Lacking[],
  { backend, family, role, error }: RefusedLoad,
): readonly Lacking[] | null {
  if (isTemporary(error)) return null;
  const parts = partsOf(backend, family, role);
  const others = known.filter(name => !parts.includes(name));
  const choices = choicesOf(parts);
  const tried = choices.findIndex(
    choice => choice.length === known.length - others.length && isIn(choice, known),
  );
  const choice = choices[tried + 1];
  if (choice !== undefined) return [...others, ...choice];
  // Rules of IPv6, and the companion, are not worth another backend.
  if (firewall !== 'auto' || family !== 'ipv4' || role === 'companion') return null;
  const next = [...others, backend];
  return available.some(name => !next.includes(name)) ? next : null;
}

/** Returns the parts of the rules of a backend without which a network works. */
function partsOf(backend: BackendName, family: Family, role: RulesScript['role']): readonly Lacking[] {
  // The companion has nothing but the rule for checksums.
  if (role === 'companion') return ['checksum'];
  // IPv6 has no other rule that a kernel with IPv6 may lack.
  if (family === 'ipv6') return backend === 'iptables' ? ['security'] : [];
  return backend === 'iptables' ? ['checksum', 'security', 'clamp-mss'] : ['connection-limit', 'clamp-mss'];
}

/** Returns all choices of some parts: none, each alone, and so on, and all of them last. */
function choicesOf(parts: readonly Lacking[]): Lacking[][] {
  const choices: Lacking[][] = [[]];
  for (const part of parts) choices.push(...choices.map(choice => [...choice, part]));
  return choices.sort((a, b) => a.length - b.length);
}

function isIn(parts: readonly Lacking[], known: readonly Lacking[]): boolean {
  return parts.every(part => known.includes(part));
}

/** The exit code of iptables where another program has its lock (RESOURCE_PROBLEM in xtables.h). */
const lockedExitCode = 4;

/** Returns whether the same rules may be loaded later, by the same kernel. */
export function isTemporary(error: Error): boolean {
  if (!isAnswer(error) || error.reason === 'missing') return true;
  return error.exitCode === lockedExitCode || isPassing(error);
}
