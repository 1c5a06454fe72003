// Finds the networks that a command line names.
import type { Config, NetworkConfig } from '../config/config.ts';
import { VirlanError } from '../errors.ts';

/** Returns the networks of these names, or all. Throws VirlanError 'unknown-network'. */
export function selectNetworks(config: Config, names: readonly string[]): readonly NetworkConfig[] {
  if (names.length === 0) return config.networks;
  return names.map(name => {
    const network = config.networks.find(other => other.name === name);
    if (network !== undefined) return network;
    const known = config.networks.map(other => other.name).join(', ');
    const message = `there is no network ${JSON.stringify(name)} in virlan.ini: it has ${known}`;
    throw new VirlanError('unknown-network', message);
  });
}

/** Returns the network of this name, or the first. Throws VirlanError 'unknown-network'. */
export function selectNetwork(config: Config, name: string | null): NetworkConfig {
  const [network] = selectNetworks(config, name === null ? [] : [name]);
  if (network === undefined) throw new VirlanError('unknown-network', 'virlan.ini has no network');
  return network;
}
