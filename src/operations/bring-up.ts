// Establishes networks completely, or not at all: `virlan up`.
import type { NetworkConfig } from '../config/config.ts';
import type { ConfigOfFile } from '../libvirt-networks/arrange.ts';
import type { NetworkDecision } from '../libvirt-networks/decide.ts';
import { establish, withNetworkLock } from '../network/establish.ts';
import type { EstablishedNetwork } from './finish-up.ts';

/** The result of `virlan up`. */
export interface BroughtUp {
  readonly networks: readonly EstablishedNetwork[];
  /** Null when no libvirtd answers. */
  readonly libvirt: NetworkDecision | null;
}

/**
 * Establishes networks, removes what an interrupted probe left on them, and arranges libvirt's own networks.
 * Throws at the first network that cannot be established.
 */
export async function bringUp(from: ConfigOfFile, networks: readonly NetworkConfig[]): Promise<BroughtUp> {
  const established = await withNetworkLock(async () => {
    const results: EstablishedNetwork[] = [];
    for (const network of networks) results.push({ network, ...(await establish(network)) });
    return results;
  });
  // Loaded only now, so that DHCP answers earlier.
  const { finishUp } = await import('./finish-up.ts');
  return { networks: established, libvirt: await finishUp(from, established) };
}
