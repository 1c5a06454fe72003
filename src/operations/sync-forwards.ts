// Opens and closes forwards as machines start, change and stop.
import type { Config, NetworkConfig } from '../config/config.ts';
import type { ForwardsChange } from '../forwards/read.ts';
import { readForwardsRecord } from '../forwards/record.ts';
import { forwardWishes } from '../forwards/wishes.ts';
import { type Domain, readDomain } from '../libvirt/domain-xml.ts';
import { withNetworkLock } from '../network/establish.ts';
import { areForwardsDue, changeForwards } from '../network/forwards.ts';
import type { NetworkEvent } from '../report/event.ts';
import { forwardEvents } from '../report/network-events.ts';
import type { HookOutcome } from './hook-outcome.ts';

/** Longest wait for another virlan process that changes the network: libvirt waits meanwhile. */
const endLockTimeoutSeconds = 5;

/** Opens the forwards of a machine that is about to run. Failures are events. */
export function openForwards(
  network: NetworkConfig,
  domain: Domain,
  lockTimeoutSeconds: number,
): Promise<NetworkEvent[]> {
  const { name, uuid } = domain;
  const booting = { name, uuid, since: Date.now(), ...forwardWishes(domain, network.machines) };
  return change(network, { kind: 'booting', machine: booting }, lockTimeoutSeconds);
}

/**
 * Closes the forwards of a domain that has ended, which libvirt passes as XML. Failures are events. Throws
 * VirlanError when the XML cannot be read.
 */
export async function endForwards(xml: string, { networks }: Config): Promise<HookOutcome> {
  const domain = readDomain(xml);
  const { uuid } = domain;
  const events: NetworkEvent[] = [];
  for (const network of networks.filter(({ bridge }) => hasForwards(bridge, uuid)))
    events.push(...(await change(network, { kind: 'ended', uuid }, endLockTimeoutSeconds)));
  return { events, abort: null };
}

/** Opens and closes forwards as libvirt's files now call for. Failures are events. */
export async function syncForwards(networks: readonly NetworkConfig[]): Promise<NetworkEvent[]> {
  const events: NetworkEvent[] = [];
  for (const network of networks) {
    try {
      if (areForwardsDue(network)) events.push(...(await change(network, null)));
    } catch (error) {
      events.push({ kind: 'network-failed', network: network.name, error: error as Error });
    }
  }
  return events;
}

function hasForwards(bridge: string, uuid: string): boolean {
  const { claims, booting } = readForwardsRecord(bridge);
  return [...claims, ...booting].some(each => each.uuid === uuid);
}

async function change(
  network: NetworkConfig,
  what: ForwardsChange | null,
  lockTimeoutSeconds?: number,
): Promise<NetworkEvent[]> {
  try {
    const changed = await withNetworkLock(() => changeForwards(network, what), lockTimeoutSeconds);
    return changed === null ? [] : forwardEvents(network, changed);
  } catch (error) {
    return [{ kind: 'network-failed', network: network.name, error: error as Error }];
  }
}
