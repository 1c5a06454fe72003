// Reads the ledger and libvirt's files to predict the MAC and the address of a machine by its name.
import type { Ipv4 } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import { decideByAsking } from '../identity/decide-by-asking.ts';
import { isNewAddress } from '../identity/decision.ts';
import { machineOn, macsOf } from '../identity/machine.ts';
import {
  type NamedNic,
  type PredictedAddress,
  type PredictedMac,
  type PredictInput,
  predictAddress,
  predictMac,
} from '../identity/predict.ts';
import { askBridge, readDecisionInput, withLeases } from '../identity/store.ts';
import { definedDomains, passThroughNetworks, runningDomains } from '../libvirt/definitions.ts';

/** Returns the MAC that a NIC of a machine has, or would get. */
export function predictNicMac(network: NetworkConfig, named: NamedNic): PredictedMac {
  return predictMac(network, named, readFor(network, named));
}

/** Returns the address that a NIC of a machine has, or would get. */
export function predictNicAddress(network: NetworkConfig, named: NamedNic): Promise<PredictedAddress> {
  const answered = new Set<Ipv4>();
  const reading = { ...readFor(network, named), answered };
  const predict = () => predictAddress(network, named, reading, new Date());
  return decideByAsking(askBridge(network.bridge), answered, predict, ({ address, why }) =>
    withLeases(
      address !== null && why.some(isNewAddress) ? [{ ip: address, macs: reading.machine?.macs ?? [] }] : [],
      reading,
    ),
  );
}

function readFor(network: NetworkConfig, { name }: NamedNic): PredictInput {
  const domains = [...runningDomains(), ...definedDomains()];
  const domain = domains.find(other => other.name === name);
  const passThrough = passThroughNetworks(network.name, network.bridge);
  return {
    ...readDecisionInput(network),
    isDefinedElsewhere: (mac, uuid) => domains.some(other => other.uuid !== uuid && macsOf(other).has(mac)),
    machine: domain === undefined ? null : machineOn(network.bridge, passThrough, domain),
  };
}
