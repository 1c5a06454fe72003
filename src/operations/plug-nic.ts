import type { Config } from '../config/config.ts';
import { machineOn, noWishes } from '../identity/machine.ts';
import { readLedger, reserveMachine } from '../identity/store.ts';
import { passThroughNetworks, runningDomains } from '../libvirt/definitions.ts';
import { parseNetworkPort } from '../libvirt/network-xml.ts';
import type { Outcome } from '../report/outcome.ts';
import { reserveRecords } from '../report/reservations.ts';

/**
 * libvirt plugs a NIC into one of its networks. When a machine starts, `prepare` has seen all its NICs; so this gives a
 * reservation to one that is plugged into a running machine.
 */
export async function plugNic(xml: string, { networks }: Config): Promise<Outcome> {
  const port = parseNetworkPort(xml);
  if (!port.ok) throw new Error(`libvirt gave no network port that could be read: ${port.error}`);
  const { owner, mac, network: on } = port.value;
  const network = networks.find(
    ({ name, bridge }) => on.name === name || (on.forward === 'bridge' && on.bridge === bridge),
  );
  if (network === undefined) return { records: [], abort: null };

  const known = readLedger().ofMachine(network.name, owner.uuid);
  if (known.some(entry => entry.macs[0] === mac)) return { records: [], abort: null };
  const passThrough = passThroughNetworks(network.name, network.bridge);
  const running = runningDomains().find(domain => domain.uuid === owner.uuid);
  const plugged = running === undefined ? null : machineOn(network.bridge, passThrough, running);
  const before = plugged?.macs ?? known.flatMap(entry => entry.macs.slice(0, 1));
  const macs = [...before.filter(other => other !== mac), mac];
  const stored = await reserveMachine(
    network,
    { ...owner, macs, wishes: plugged?.wishes ?? noWishes },
    'booting',
  );
  return { records: reserveRecords(stored.events), abort: null };
}
