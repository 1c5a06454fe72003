// Decides which changes of the configuration would cut off running machines. Pure.
import { formatPrefix } from '../address/ip.ts';
import type { Config, NetworkConfig } from '../config/config.ts';

/** A change that would cut off running machines. Their names are hostile. */
export interface RefusedChange {
  readonly network: string;
  readonly change: { readonly kind: 'removed' } | { readonly kind: 'bridge' | 'subnet'; readonly to: string };
  readonly machines: readonly string[];
}

/** Returns the changes between two configurations that are refused while machines run. */
export function findRefusedChanges(
  now: Config,
  next: Config,
  machinesOn: (network: NetworkConfig) => readonly string[],
): RefusedChange[] {
  return now.networks.flatMap(network => {
    const change = compareNetwork(
      network,
      next.networks.find(other => other.name === network.name),
    );
    const machines = change === null ? [] : machinesOn(network);
    return change === null || machines.length === 0 ? [] : [{ network: network.name, change, machines }];
  });
}

function compareNetwork(
  network: NetworkConfig,
  next: NetworkConfig | undefined,
): RefusedChange['change'] | null {
  if (next === undefined) return { kind: 'removed' };
  if (next.bridge !== network.bridge) return { kind: 'bridge', to: next.bridge };
  const subnet = formatPrefix(next.subnet);
  return subnet === formatPrefix(network.subnet) ? null : { kind: 'subnet', to: subnet };
}
