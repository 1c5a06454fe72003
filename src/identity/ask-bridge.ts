// Asks on the bridge whether somebody has an address that a NIC is about to get for the first time: a machine
// with a static address, a virtual address of a cluster, a device.
import { formatIp, type Ipv4 } from '../address/ip.ts';
import type { PromisedAddress } from '../dnsmasq/leases.ts';
import { listDirectory } from '../system/files.ts';

/** An address to ask for. `isLeased`: somebody without a reservation has a lease of it, and may use it. */
export interface AddressToAsk extends PromisedAddress {
  readonly isLeased: boolean;
}

/** Longest waits for an answer. The machine's start waits meanwhile; on one host it takes a millisecond. */
const waitMs = 20;
const leasedWaitMs = 250;

/** Most decisions in a row that an answer may overturn. */
const maxRounds = 8;

/**
 * Returns a decision whose new addresses nobody else answers for. Adds those that somebody does answer for to
 * `answered`, which `decide` reads.
 */
export async function decideByAsking<T>(
  bridge: string,
  answered: Set<Ipv4>,
  decide: () => T,
  newAddresses: (decision: T) => readonly AddressToAsk[],
): Promise<T> {
  const asked = new Set<Ipv4>();
  for (let round = 0; ; round++) {
    const decision = decide();
    const unknown = newAddresses(decision).filter(({ ip }) => !asked.has(ip));
    if (unknown.length === 0 || round === maxRounds || !hasPorts(bridge)) return decision;
    const found = await findAnswered(bridge, unknown);
    if (found.length === 0) return decision;
    for (const { ip } of unknown) asked.add(ip);
    for (const ip of found) answered.add(ip);
  }
}

function hasPorts(bridge: string): boolean {
  return listDirectory(`/sys/class/net/${bridge}/brif`).length > 0;
}

async function findAnswered(bridge: string, addresses: readonly AddressToAsk[]): Promise<Ipv4[]> {
  // Loaded only when a machine is new.
  const { askNeighbour } = await import('../system/neighbours.ts');
  const answers = await Promise.all(
    addresses.map(async ({ ip, macs, isLeased }) => {
      const mac = await askNeighbour(formatIp(ip), bridge, isLeased ? leasedWaitMs : waitMs);
      return mac === null || macs.some(own => own === mac) ? [] : [ip];
    }),
  );
  return answers.flat();
}
