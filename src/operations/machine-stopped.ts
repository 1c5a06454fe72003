// Forgets what belongs to a machine that has stopped, and takes back a start that failed.
import type { Config } from '../config/config.ts';
import { unbindMachine } from '../guard/guard.ts';
import { withoutStart } from '../identity/failed-start.ts';
import { hasStartedNics, readStartedNics, removeStartedNics } from '../identity/started-nics.ts';
import { changeLedger, syncReservations } from '../identity/store.ts';
import { hasRun } from '../libvirt/definitions.ts';
import { type Domain, readDomain } from '../libvirt/domain-xml.ts';

/**
 * Forgets the taps of a domain that has stopped, so that the next one that gets a tap of that name is not taken for it,
 * and takes its start back if it has not run. libvirt passes it as XML, and its own file still says whether it has run,
 * but not whether it was paused all the time, which `neverRan` knows.
 * Returns the domain if there was something to take back; null otherwise. Throws VirlanError when the XML cannot be
 * read, and as `changeLedger`.
 */
export async function machineStopped(
  xml: string,
  readConfig: () => Config,
  neverRan: (uuid: string) => boolean,
): Promise<Domain | null> {
  const domain = readDomain(xml);
  await unbindMachine(domain.uuid);
  return undoFailedStart(domain, readConfig, neverRan);
}

async function undoFailedStart(
  domain: Domain,
  readConfig: () => Config,
  neverRan: (uuid: string) => boolean,
): Promise<Domain | null> {
  const { name, uuid } = domain;
  // Most machines that stop have booted before.
  if (!hasStartedNics(uuid)) return null;
  const result = await changeLedger(ledger => {
    const nics = hasRun(name) && !neverRan(uuid) ? [] : readStartedNics(uuid);
    removeStartedNics(uuid);
    const without = withoutStart(ledger, uuid, nics);
    return { ledger: without.ledger, result: { hasFailed: nics.length > 0, networks: without.networks } };
  });
  if (result.networks.length > 0)
    for (const network of readConfig().networks.filter(each => result.networks.includes(each.name)))
      await syncReservations(network);
  return result.hasFailed ? domain : null;
}
