// Drops the reservations of a machine.
import type { Config } from '../config/config.ts';
import { VirlanError } from '../errors.ts';
import type { LedgerEntry } from '../identity/ledger-format.ts';
import { asForgotten } from '../identity/retire.ts';
import { changeLedger, readLedger, syncReservations } from '../identity/store.ts';
import { runningDomains } from '../libvirt/definitions.ts';
import { unknownMachine } from './unknown-machine.ts';

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
    const entries = networks.flatMap(network =>
      ledger.named(network.name, name).filter(({ host }) => host === null),
    );
    const sharing = networks.filter(({ sharesLedger }) => sharesLedger).map(network => network.name);
    const without = entries.reduce(
      (rest, entry) => rest.replace(entry, sharing.includes(entry.network) ? asForgotten(entry) : null),
      ledger,
    );
    return { ledger: without, result: entries };
  });
  if (dropped.length === 0) {
    const problem = `there is no reservation of a machine ${JSON.stringify(name)}`;
    throw unknownMachine(problem, name, readLedger().entries(), 'virlan status');
  }
  for (const network of networks.filter(({ name: on }) => dropped.some(entry => entry.network === on))) {
    await syncReservations(network);
  }
  return dropped;
}
