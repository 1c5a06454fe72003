import type { LibvirtClient } from 'node-libvirt';
import type { Config } from '../config/config.ts';
import { definedDomains, runningDomains } from '../libvirt/definitions.ts';
import { carryOut, listNetworks, withLibvirt } from './client.ts';
import { decideNetworks, describeDefaultUsers, type NetworkAction } from './decide.ts';

/** What was done about libvirt's networks, and what could not be. */
export interface Arranged {
  readonly actions: readonly NetworkAction[];
  readonly problems: readonly string[];
}

/** Brings libvirt's networks in line with the configuration. Never to be called in a hook. */
export async function arrangeNetworks(client: LibvirtClient, config: Config): Promise<Arranged> {
  const decision = decideNetworks(config, await listNetworks(client), definedDomains(), runningDomains());
  for (const action of decision.actions) await carryOut(client, action);
  return decision;
}

/** What becomes of the machines that refer to libvirt's default network, as a line; null where there are none. */
export function defaultUsers(config: Config): string | null {
  return describeDefaultUsers(config, definedDomains());
}

/** As `arrangeNetworks`, with a connection of its own; null when no libvirtd answers. */
export function arrangeNetworksOnce(config: Config): Promise<Arranged | null> {
  return withLibvirt(client => arrangeNetworks(client, config));
}
