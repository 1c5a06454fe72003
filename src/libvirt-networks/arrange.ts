// Brings libvirt's networks in line with the configuration, by calls to libvirt. Never called in a hook,
// where libvirt must not be called.
import type { LibvirtClient } from 'node-libvirt';
import type { Config } from '../config/config.ts';
import { definedDomains, runningDomains } from '../libvirt/definitions.ts';
import { type DefaultUsersFate, decideDefaultUsers, decideNetworks, type NetworkDecision } from './decide.ts';
import { changeNetwork, listNetworks, withLibvirt } from './network-calls.ts';
import { saveNetwork } from './saved-network.ts';

/**
 * Changes libvirt's networks as the configuration asks. Returns the changes, and the problems that prevented
 * others.
 */
export async function arrangeNetworks(client: LibvirtClient, config: Config): Promise<NetworkDecision> {
  const decision = decideNetworks(config, await listNetworks(client), definedDomains(), runningDomains());
  for (const action of decision.actions) {
    if (action.kind === 'save') saveNetwork(action.network);
    else await changeNetwork(client, action);
  }
  return decision;
}

/** Opens a connection for one call of `arrangeNetworks`. Returns null when libvirtd does not answer. */
export function arrangeNetworksOnce(config: Config): Promise<NetworkDecision | null> {
  return withLibvirt(client => arrangeNetworks(client, config));
}

/** Returns what happens to the defined machines that refer to `default`; null when there are none. */
export function readDefaultUsers(config: Config): DefaultUsersFate | null {
  return decideDefaultUsers(config, definedDomains());
}
