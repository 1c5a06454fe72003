import type { Config, NetworkConfig } from '../config/config.ts';

/** The networks that the command line names, or all of them. Throws for a name that virlan.ini does not have. */
export function selectNetworks(config: Config, names: readonly string[]): readonly NetworkConfig[] {
  if (names.length === 0) return config.networks;
  return names.map(name => {
    const network = config.networks.find(other => other.name === name);
    if (network !== undefined) return network;
    const known = config.networks.map(other => other.name).join(', ');
    throw new Error(`there is no network ${JSON.stringify(name)} in virlan.ini: it has ${known}`);
  });
}
