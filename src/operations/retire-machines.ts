// Retires the reservations of machines that were undefined: their addresses are reused only when the pool has
// no others.
import type { NetworkConfig } from '../config/config.ts';
import type { LedgerEntry } from '../identity/ledger-format.ts';
import { retire } from '../identity/retire.ts';
import { changeLedger, syncReservations } from '../identity/store.ts';

/** Retires the entries of machines, given by UUID. Returns those of the given networks. */
export async function retireMachines(
  networks: readonly NetworkConfig[],
  uuids: readonly string[],
): Promise<readonly LedgerEntry[]> {
  if (uuids.length === 0) return [];
  const retired = await changeLedger(ledger => {
    const { ledger: changed, entries } = retire(ledger, uuids, new Date());
    return { ledger: changed, result: entries };
  });
  for (const network of networks) {
    if (retired.some(entry => entry.network === network.name)) await syncReservations(network);
  }
  return retired.filter(entry => networks.some(({ name }) => name === entry.network));
}
