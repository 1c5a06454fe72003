// Takes back what a start that failed has changed of a machine's reservations.
import type { Config } from '../config/config.ts';
import { withoutStart } from '../identity/failed-start.ts';
import { hasStartedNics, readStartedNics, removeStartedNics } from '../identity/started-nics.ts';
import { changeLedger, syncReservations } from '../identity/store.ts';
import { hasRun } from '../libvirt/definitions.ts';
import { type Domain, readDomain } from '../libvirt/domain-xml.ts';

/**
 * Takes back the start of a domain that has stopped without having run, while libvirt's file still says so. libvirt
 * passes it as XML. Returns the domain if there was something to take back; null otherwise. Throws VirlanError when the
 * XML cannot be read, and as `changeLedger`.
 */
export async function undoFailedStart(xml: string, readConfig: () => Config): Promise<Domain | null> {
  const domain = readDomain(xml);
  const { name, uuid } = domain;
  // Most machines that stop have booted before.
  if (!hasStartedNics(uuid)) return null;
  const result = await changeLedger(ledger => {
    const nics = hasRun(name) ? [] : readStartedNics(uuid);
    removeStartedNics(uuid);
    const without = withoutStart(ledger, uuid, nics);
    return { ledger: without.ledger, result: { hasFailed: nics.length > 0, networks: without.networks } };
  });
  if (result.networks.length > 0)
    for (const network of readConfig().networks.filter(each => result.networks.includes(each.name)))
      await syncReservations(network);
  return result.hasFailed ? domain : null;
}
