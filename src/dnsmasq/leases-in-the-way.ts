// Ends the leases that are in the way of a reservation.
import type { NetworkConfig } from '../config/config.ts';
import { isBeingWritten, readLeasesTextOrNone } from './lease-file.ts';
import { leasesInTheWay, type PromisedAddress } from './leases.ts';

/**
 * Ends the leases that keep promised addresses from those that they are promised to. Leases that cannot be read cost a
 * machine at most the address that it has now, not its reservation.
 */
export async function endLeasesInTheWay(
  network: Pick<NetworkConfig, 'bridge' | 'gateway'>,
  promised: readonly PromisedAddress[],
): Promise<void> {
  const text = readLeasesTextOrNone(network.bridge);
  if (!isBeingWritten(network.bridge, text) && leasesInTheWay(text, promised).length === 0) return;
  // Loaded only when needed: it is seldom, and a machine's start waits.
  const { releaseLeases } = await import('./release.ts');
  await releaseLeases(network, written => leasesInTheWay(written, promised));
}
