// Retires the reservations of machines that were undefined: their addresses stay theirs as long as the pool
// has others.
import type { NetworkConfig } from '../config/config.ts';
import type { LedgerEntry } from '../identity/ledger-format.ts';
import { changeLedger, syncHostsfile } from '../identity/store.ts';

/** Retires all entries of the machines that `isGone` names by uuid. Returns those of the given networks. */
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
  const isOn =
    ({ name }: NetworkConfig) =>
    (entry: LedgerEntry) =>
      entry.network === name;
  for (const network of networks.filter(each => retired.some(isOn(each)))) {
    await syncHostsfile(network, network.bridge);
  }
  return retired.filter(entry => networks.some(network => isOn(network)(entry)));
}
