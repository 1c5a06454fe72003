// Lets virlan change the MAC of a machine that has booted.
import type { Config } from '../config/config.ts';
import type { LedgerEntry } from '../identity/ledger-format.ts';
import { changeLedger, readLedger } from '../identity/store.ts';
import { unknownMachine } from './unknown-machine.ts';

/**
 * Marks the MACs that a machine's owner chose as due to become the formula's, which they do while the machine
 * is shut off. Returns the machine's entries on networks whose MACs virlan may change. Throws VirlanError
 * 'unknown-machine' when there are none.
 */
export async function adoptMachine({ networks }: Config, name: string): Promise<readonly LedgerEntry[]> {
  const changeable = networks.filter(network => network.macPolicy !== 'keep');
  const entries = await changeLedger(ledger => {
    const known = changeable
      .flatMap(network => ledger.named(network.name, name))
      .filter(entry => entry.retired === null && entry.host === null);
    const changed = known
      .filter(entry => entry.macOrigin === 'own')
      .reduce((rest, entry) => rest.replace(entry, { ...entry, macOrigin: 'due' }), ledger);
    return { ledger: changed, result: known };
  });
  if (entries.length > 0) return entries;
  const names = changeable.map(network => network.name);
  const known = readLedger()
    .present()
    .filter(({ network }) => names.includes(network));
  const problem = `there is no machine ${JSON.stringify(name)} whose MAC virlan may change`;
  throw unknownMachine(problem, name, known, 'virlan status');
}
