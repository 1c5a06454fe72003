// The addresses of this host.
import { networkInterfaces } from 'node:os';

/** Returns the addresses of all links that are up and have a carrier, of both families. */
export function hostAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap(all => (all ?? []).map(({ address }) => address));
}
