import type { Config, NetworkConfig } from '../config/config.ts';
import { isAlive } from '../dnsmasq/process.ts';
import { messageOf } from '../errors.ts';
import { type Machine, machineOn } from '../identity/machine.ts';
import { reserveMachine } from '../identity/store.ts';
import { passThroughNetworks } from '../libvirt/definitions.ts';
import { parseDomain } from '../libvirt/domain-xml.ts';
import { failure, type LogRecord, type Outcome } from '../report/outcome.ts';
import { reserveRecords } from '../report/reservations.ts';

/**
 * A machine is about to start: its network is there and each of its NICs has its reservation when this returns. Throws
 * only where no network can be named, as with a broken configuration.
 */
export async function prepareMachine(xml: string, { networks }: Config): Promise<Outcome> {
  const domain = parseDomain(xml);
  if (!domain.ok) throw new Error(`libvirt gave no domain that could be read: ${domain.error}`);
  const records: LogRecord[] = [];
  let abort: string | null = null;
  for (const network of networks) {
    const needsNetworks = domain.value.nics.some(nic => nic.network !== null && nic.network !== network.name);
    const passThrough = needsNetworks
      ? passThroughNetworks(network.name, network.bridge)
      : new Set([network.name]);
    const machine = machineOn(network.bridge, passThrough, domain.value);
    if (machine.macs.length === 0) continue;
    try {
      records.push(...(await prepareOn(network, machine)));
    } catch (error) {
      const message = `no reservation for ${JSON.stringify(machine.name)} on ${network.name}: ${messageOf(error)}`;
      records.push(failure(message, { network: network.name, machine: machine.name, uuid: machine.uuid }));
      if (network.onError === 'abort') abort ??= message;
    }
  }
  return { records, abort };
}

async function prepareOn(network: NetworkConfig, machine: Machine): Promise<LogRecord[]> {
  const records = isAlive(network) ? [] : await (await import('./start-daemon.ts')).repair(network);
  const stored = await reserveMachine(network, machine, 'booting');
  records.push(...reserveRecords(stored.events));
  if (!stored.told)
    records.push(
      failure('no dnsmasq runs to hear of the reservation', { network: network.name, machine: machine.name }),
    );
  return records;
}
