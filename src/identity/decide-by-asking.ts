// Decides on addresses with what those answer who use them: a machine with a static address, a virtual address
// of a cluster, a device. Pure: the caller asks.
import type { Ipv4 } from '../address/ip.ts';
import type { PromisedAddress } from '../dnsmasq/leases.ts';

/** An address to ask for. `isLeased`: somebody without a reservation has a lease of it, and may use it. */
export interface AddressToAsk extends PromisedAddress {
  readonly isLeased: boolean;
}

/** Most decisions in a row that an answer may overturn. */
const maxRounds = 8;

/**
 * Returns a decision whose new addresses nobody else answers for. `ask` returns those of its addresses that
 * somebody answers for; they are added to `answered`, which `decide` reads. Somebody who answers for every one
 * could move each new machine for good, so those answers do not count: the guard drops them once the addresses
 * belong to machines.
 */
export async function decideByAsking<T>(
  ask: (addresses: readonly AddressToAsk[]) => Promise<readonly Ipv4[]>,
  answered: Set<Ipv4>,
  decide: () => T,
  newAddresses: (decision: T) => readonly AddressToAsk[],
): Promise<T> {
  const asked = new Set<Ipv4>();
  for (let round = 0; ; round++) {
    const decision = decide();
    const unknown = newAddresses(decision).filter(({ ip }) => !asked.has(ip));
    if (unknown.length === 0) return decision;
    if (round === maxRounds) break;
    const found = await ask(unknown);
    if (found.length === 0) return decision;
    for (const { ip } of unknown) asked.add(ip);
    for (const ip of found) answered.add(ip);
  }
  answered.clear();
  return decide();
}
