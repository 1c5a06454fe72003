// Explains the decisions about networks and machines, for `virlan doctor --verbose`.
import type { Config } from '../config/config.ts';
import { availableBackends, type BackendChoice, chooseBackend } from '../firewall/backends.ts';
import { machineOn } from '../identity/machine.ts';
import type { TrailStep } from '../identity/trail.ts';
import { definedDomains, passThroughNetworks, runningDomains } from '../libvirt/definitions.ts';
import { system } from '../system/system.ts';
import { predictNicAddress } from './predict-identity.ts';

/** The decisions about one subject: `network k8s-br0`, `machine web NIC 0`. A machine's name is hostile. */
export interface Decisions {
  readonly about: string;
  readonly trail: readonly (TrailStep | BackendChoice)[];
}

/** Returns the decisions about each network and, where one is named, about each NIC of a machine. */
export function explainDecisions({ networks }: Config, machineName: string | null): Decisions[] {
  const available = availableBackends(system.isInstalled);
  const domain = [...runningDomains(), ...definedDomains()].find(({ name }) => name === machineName);
  return networks.flatMap(network => {
    const { name, bridge } = network;
    const about = `network ${name}`;
    const ofNetwork = available.length === 0 ? [] : [{ about, trail: [chooseBackend(network, available)] }];
    if (domain === undefined) return ofNetwork;
    const { macs } = machineOn(bridge, passThroughNetworks(name, bridge), domain);
    const ofNics = [...macs.keys()].map(nic => ({
      about: `machine ${domain.name} NIC ${nic} on ${name}`,
      trail: predictNicAddress(network, { name: domain.name, nic }).why,
    }));
    return [...ofNetwork, ...ofNics];
  });
}
