// Explains the decisions about networks and machines, for `virlan doctor --verbose`.
import type { Config } from '../config/config.ts';
import type { Subject } from '../diagnosis/subject.ts';
import { availableBackends, type BackendChoice, chooseBackend } from '../firewall/backends.ts';
import { machineOn } from '../identity/machine.ts';
import type { TrailStep } from '../identity/trail.ts';
import { definedDomains, passThroughNetworks, runningDomains } from '../libvirt/definitions.ts';
import { readLacking } from '../network/records/lacking.ts';
import { system } from '../system/system.ts';
import { predictNicAddress } from './predict-identity.ts';

/** The decisions about one subject. */
export interface Decisions {
  readonly subject: Subject;
  readonly trail: readonly (TrailStep | BackendChoice)[];
}

/** Returns the decisions about each network and, where one is named, about each NIC of a machine. */
export async function explainDecisions(
  { networks }: Config,
  machineName: string | null,
): Promise<Decisions[]> {
  const available = availableBackends(system.isInstalled);
  const domain = [...runningDomains(), ...definedDomains()].find(({ name }) => name === machineName);
  const decisions: Decisions[] = [];
  for (const network of networks) {
    const { name, bridge } = network;
    if (available.length > 0)
      decisions.push({
        subject: { kind: 'network', name },
        trail: [chooseBackend(network, available, readLacking(bridge))],
      });
    if (domain === undefined) continue;
    const { macs } = machineOn(bridge, passThroughNetworks(name, bridge), domain);
    for (const nic of macs.keys()) {
      const { why } = await predictNicAddress(network, { name: domain.name, nic });
      decisions.push({
        subject: { kind: 'nic-on-network', machine: domain.name, nic, network: name },
        trail: why,
      });
    }
  }
  return decisions;
}
