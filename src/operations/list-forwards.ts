// Lists the forwards of a machine, and whether they are active.
import type { Config } from '../config/config.ts';
import { type ForwardsReading, readForwards } from '../forwards/read.ts';
import { definedDomains, runningDomains } from '../libvirt/definitions.ts';
import { type ForwardStatus, forwardsOf, indexForwards } from '../report/machines.ts';
import { unknownMachine } from './unknown-machine.ts';

export type MachineForward = ForwardStatus;

/** Returns the forwards of the machine of a name. Throws VirlanError 'unknown-machine'. */
export function listForwards({ networks }: Config, name: string): MachineForward[] {
  const domains = [...runningDomains(), ...definedDomains()];
  const domain = domains.find(each => each.name === name);
  if (domain === undefined)
    throw unknownMachine(`there is no machine ${JSON.stringify(name)}`, name, domains, 'virsh list --all');
  const readings = networks.map((network): ForwardsReading => readForwards(network));
  const chosen = {
    claims: readings.flatMap(({ claims }) => claims),
    refused: readings.flatMap(({ refused }) => refused),
  };
  return forwardsOf(domain, networks[0]?.machines ?? [], indexForwards(chosen));
}
