// Adds forwards to a machine's definition and removes them, by libvirt.
import { DomainAffect, isNoDomain, isNoDomainMetadata, type LibvirtClient, MetadataType } from 'node-libvirt';
import { type Forward, formatForward } from '../config/forward.ts';
import { VirlanError } from '../errors.ts';
import { addForwards, removeForwards } from '../forwards/metadata.ts';
import { machineNamespace } from '../identity/machine.ts';
import { definedDomains, runningDomains } from '../libvirt/definitions.ts';
import { withLibvirt } from '../libvirt-networks/network-calls.ts';
import { unknownMachine } from './unknown-machine.ts';

/** The prefix of the namespace in the definition. */
const prefix = 'virlan';

/**
 * Writes forwards into the metadata of a machine, or removes them, in its definition and where it runs. Returns
 * whether something changed. Throws VirlanError: 'wrong-state' where libvirtd does not answer, and for a forward
 * that it does not have; 'unknown-machine' for a machine that does not exist.
 */
export async function changeMachineForwards(
  name: string,
  forwards: readonly Forward[],
  change: 'add' | 'remove',
): Promise<boolean> {
  const changed = await withLibvirt('domain', client => changeBy(client, name, forwards, change));
  if (changed !== null) return changed;
  const message = 'libvirtd does not answer, and only it changes definitions: start it, or write virlan.ini';
  throw new VirlanError('wrong-state', message);
}

async function changeBy(
  client: LibvirtClient,
  name: string,
  forwards: readonly Forward[],
  change: 'add' | 'remove',
): Promise<boolean> {
  const domain = await client.domainLookupByName(name).catch((cause: Error) => {
    if (!isNoDomain(cause)) throw cause;
    const problem = `there is no machine ${JSON.stringify(name)}`;
    const known = [...runningDomains(), ...definedDomains()];
    throw unknownMachine(problem, name, known, 'virsh list --all', { cause });
  });
  const [isActive, isPersistent] = await Promise.all([
    client.domainIsActive(domain),
    client.domainIsPersistent(domain),
  ]);
  const places = [
    ...(isPersistent ? [DomainAffect.CONFIG] : []),
    // The running definition comes last: its forwards change at once.
    ...(isActive ? [DomainAffect.LIVE] : []),
  ];
  const texts = await Promise.all(
    places.map(place =>
      client
        .domainGetMetadata(domain, MetadataType.ELEMENT, machineNamespace, place)
        .catch((cause: Error) => {
          if (isNoDomainMetadata(cause)) return '<machine/>';
          throw cause;
        }),
    ),
  );
  const results = texts.map(text =>
    change === 'add' ? addForwards(text, forwards) : removeForwards(text, forwards),
  );
  const lacking = forwards.find((_, index) => results.every(({ found }) => !found[index]));
  if (change === 'remove' && lacking !== undefined) {
    const message = `the metadata of ${JSON.stringify(name)} has no forward ${formatForward(lacking)}: see "virlan forward ${name}"`;
    throw new VirlanError('wrong-state', message);
  }
  for (const [index, { text }] of results.entries())
    if (text !== texts[index])
      await client.domainSetMetadata(
        domain,
        MetadataType.ELEMENT,
        text,
        prefix,
        machineNamespace,
        places[index] ?? DomainAffect.CURRENT,
      );
  return results.some(({ text }, index) => text !== texts[index]);
}
