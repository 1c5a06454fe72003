import { formatPrefix } from '../address/ip.ts';
import type { Config, NetworkConfig } from '../config/config.ts';
import { machineOn } from '../identity/machine.ts';
import { passThroughNetworks, runningDomains } from '../libvirt/definitions.ts';

/**
 * What a new configuration would take away from machines that run: each a line that names them. Empty when it can be
 * applied without dropping anybody's traffic.
 */
export function refusals(now: Config, next: Config): string[] {
  return now.networks.flatMap(network => {
    const successor = next.networks.find(other => other.name === network.name);
    const change = describeChange(network, successor);
    const machines = change === null ? [] : machinesRunningOn(network);
    return change === null || machines.length === 0
      ? []
      : [`${change} while machines run on it: ${machines.join(', ')}: shut them down first`];
  });
}

function describeChange(network: NetworkConfig, next: NetworkConfig | undefined): string | null {
  if (next === undefined) return `network ${network.name} cannot go`;
  if (next.bridge !== network.bridge) return `the bridge of ${network.name} cannot become ${next.bridge}`;
  const subnet = formatPrefix(next.subnet);
  return subnet === formatPrefix(network.subnet)
    ? null
    : `the subnet of ${network.name} cannot become ${subnet}`;
}

function machinesRunningOn({ name, bridge }: NetworkConfig): string[] {
  const passThrough = passThroughNetworks(name, bridge);
  return runningDomains()
    .filter(domain => machineOn(bridge, passThrough, domain).macs.length > 0)
    .map(domain => JSON.stringify(domain.name));
}
