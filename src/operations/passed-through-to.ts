// Finds the network that a network of libvirt passes through to.
import type { NetworkConfig } from '../config/config.ts';
import { isPassThrough, type LibvirtNetwork } from '../libvirt/network-xml.ts';

/** Returns undefined for a network of libvirt that does not lead to a network of virlan's. */
export function passedThroughTo(
  networks: readonly NetworkConfig[],
  network: LibvirtNetwork,
): NetworkConfig | undefined {
  return networks.find(({ bridge }) => isPassThrough(network, bridge));
}
