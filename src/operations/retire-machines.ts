// Retires the reservations of machines that were undefined: their addresses are reused only when the pool has
// no others.
import type { NetworkConfig } from '../config/config.ts';
import type { LedgerEntry } from '../identity/ledger-format.ts';
import { changeLedger, syncHostsfile } from '../identity/store.ts';

/**
 * Retires the entries of the machines for whose UUID `isGone` returns true. Returns those of the given
 * networks.
 */
export async function retireMachines(
  networks: readonly NetworkConfig[],
  isGone: (uuid: string) => boolean,
): Promise<readonly LedgerEntry[]> {
  const now = new Date();
  const retired = await changeLedger(ledger => {
    const gone = ledger.entries().filter(entry => entry.retired === null && isGone(entry.uuid));
    const changed = gone.reduce(
      (rest, entry) => rest.replace(entry, { ...entry, retired: now, problem: null }),
      ledger,
    );
    return { ledger: changed, result: gone };
  });
  for (const network of networks) {
    if (retired.some(entry => entry.network === network.name)) await syncHostsfile(network, network.bridge);
  }
  return retired.filter(entry => networks.some(({ name }) => name === entry.network));
}
