// Handles a NIC that libvirt plugs into one of its networks.
import type { Config } from '../config/config.ts';
import { VirlanError } from '../errors.ts';
import { machineOn, noWishes } from '../identity/machine.ts';
import { readLedger, reserveMachine } from '../identity/store.ts';
import { passThroughNetworks, runningDomains } from '../libvirt/definitions.ts';
import { parseNetworkPort } from '../libvirt/network-xml.ts';
import type { HookOutcome } from './hook-outcome.ts';

const nothingToDo: HookOutcome = { events: [], abort: null };

/**
 * Reserves an address for a NIC that is plugged into a running machine. When a machine starts,
 * `prepareMachine` has seen all its NICs already. Throws VirlanError when the XML cannot be read.
 */
export async function plugNic(xml: string, { networks }: Config): Promise<HookOutcome> {
  const port = parseNetworkPort(xml);
  if (!port.ok)
    throw new VirlanError(
      'unreadable-xml',
      `libvirt passed a network port that cannot be read: ${port.error}`,
    );
  const { owner, mac, network: target } = port.value;
  const network = networks.find(
    ({ name, bridge }) => target.name === name || (target.forward === 'bridge' && target.bridge === bridge),
  );
  if (network === undefined) return nothingToDo;

  const known = readLedger().ofMachine(network.name, owner.uuid);
  if (known.some(entry => entry.macs[0] === mac)) return nothingToDo;
  const passThrough = passThroughNetworks(network.name, network.bridge);
  const running = runningDomains().find(domain => domain.uuid === owner.uuid);
  const plugged = running === undefined ? null : machineOn(network.bridge, passThrough, running);
  const before = plugged?.macs ?? known.flatMap(entry => entry.macs.slice(0, 1));
  const macs = [...before.filter(other => other !== mac), mac];
  const machine = { ...owner, macs, wishes: plugged?.wishes ?? noWishes };
  const { events } = await reserveMachine(network, machine, 'booting');
  return { events: events.map(event => ({ kind: 'reservation', event })), abort: null };
}
