// Handles `virsh net-update` of a libvirt network: virlan serves the names that it adds with `dns-host`.
import type { Config } from '../config/config.ts';
import { VirlanError } from '../errors.ts';
import { syncReservations } from '../identity/store.ts';
import { parseLibvirtNetwork } from '../libvirt/network-xml.ts';
import type { HookOutcome } from './hook-outcome.ts';
import { passedThroughTo } from './passed-through-to.ts';

/**
 * Serves the names of a network that libvirt has updated. They are read from libvirt's file of the network,
 * which it has written by now. Throws VirlanError when the XML cannot be read.
 */
export async function updateNetwork(xml: string, { networks }: Config): Promise<HookOutcome> {
  const updated = parseLibvirtNetwork(xml);
  if (!updated.ok)
    throw new VirlanError('unreadable-xml', `libvirt passed a network that cannot be read: ${updated.error}`);
  const network = passedThroughTo(networks, updated.value);
  if (network !== undefined) await syncReservations(network);
  return { events: [], abort: null };
}
