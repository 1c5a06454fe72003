import type { Config, NetworkConfig } from '../config/config.ts';
import { messageOf } from '../errors.ts';
import { preventDefaultNetwork } from '../libvirt-networks/autostart.ts';
import { describeStep } from '../network/describe.ts';
import { type Established, establishWhatWorks, withNetworkLock } from '../network/establish.ts';
import { failure, type LogRecord, type Outcome } from '../report/outcome.ts';

/**
 * libvirtd, or one of the modular daemons, starts or reloads: every network is established, and libvirt is kept from
 * starting its own. One network that cannot be established does not keep the others from it.
 */
export async function startDaemon(config: Config): Promise<Outcome> {
  const records = preventDefault(config);
  for (const network of config.networks) records.push(...(await repair(network)));
  return { records, abort: null };
}

/** Keeps libvirt from starting its own network, as far as that can be done by files. */
export function preventDefault(config: Config): LogRecord[] {
  try {
    const message = "libvirt's default network starts no more";
    return preventDefaultNetwork(config) ? [{ level: 'info', message, fields: {} }] : [];
  } catch (error) {
    return [failure(`libvirt's default network: ${messageOf(error)}`)];
  }
}

/** Establishes a network as far as that works. */
export async function repair(network: NetworkConfig): Promise<LogRecord[]> {
  try {
    return await withNetworkLock(async () => establishedRecords(network, await establishWhatWorks(network)));
  } catch (error) {
    return [failure(`network ${network.name}: ${messageOf(error)}`, { network: network.name })];
  }
}

function establishedRecords({ name }: NetworkConfig, { steps, warnings }: Established): LogRecord[] {
  const done: LogRecord[] =
    steps.length === 0
      ? []
      : [
          {
            level: 'info',
            message: 'network established',
            fields: { network: name, steps: steps.map(describeStep) },
          },
        ];
  return [...done, ...warnings.map(message => failure(`network ${name}: ${message}`, { network: name }))];
}
