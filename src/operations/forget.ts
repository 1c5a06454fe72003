// Drops the reservations of a machine.
import type { Config } from '../config/config.ts';
import { VirlanError } from '../errors.ts';
import type { LedgerEntry } from '../identity/ledger-format.ts';
import { changeLedger, syncReservations } from '../identity/store.ts';
import { runningDomains } from '../libvirt/definitions.ts';

/**
 * Removes the entries of the machines of a name from the ledger and the hostsfiles, and returns them. Throws
 * VirlanError: 'wrong-state' while such a machine runs, 'unknown-machine' when there is no entry.
 */
export async function forgetMachine({ networks }: Config, name: string): Promise<readonly LedgerEntry[]> {
  if (runningDomains().some(domain => domain.name === name)) {
    const message = `${name} is running and keeps its reservation: shut it down first`;
    throw new VirlanError('wrong-state', message);
  }
  const dropped = await changeLedger(ledger => {
    const entries = networks.flatMap(network => ledger.named(network.name, name));
    return { ledger: entries.reduce((rest, entry) => rest.replace(entry, null), ledger), result: entries };
  });
  if (dropped.length === 0) {
    const message = `there is no reservation of a machine ${JSON.stringify(name)}: see "virlan status"`;
    throw new VirlanError('unknown-machine', message);
  }
  for (const network of networks.filter(({ name: on }) => dropped.some(entry => entry.network === on))) {
    await syncReservations(network);
  }
  return dropped;
}
