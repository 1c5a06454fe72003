// Establishes, publishes and takes down networks for the watcher. Failures are reported, and do not end it.
import type { NetworkConfig } from '../../config/config.ts';
import { establishForHook } from '../../operations/establish-networks.ts';
import { publishNetwork } from '../../operations/publish.ts';
import { takeDownNetworks } from '../../operations/take-down-networks.ts';
import type { Event } from '../../report/event.ts';

type Report = (events: readonly Event[]) => void;

/** Establishes networks one after the other, and publishes the machines of each to libvirt's tools. */
export async function establishAll(networks: readonly NetworkConfig[], report: Report): Promise<void> {
  for (const network of networks) {
    report(await establishForHook(network));
    publish(network, report);
  }
}

/** Publishes the machines of networks to libvirt's tools. */
export function publishAll(networks: readonly NetworkConfig[], report: Report): void {
  for (const network of networks) publish(network, report);
}

/** Takes down networks that are no longer configured. */
export async function takeDownAll(networks: readonly NetworkConfig[], report: Report): Promise<void> {
  for (const network of networks)
    await takeDownNetworks([network], 'warn').catch((error: Error) =>
      report([{ kind: 'network-failed', network: network.name, error }]),
    );
}

function publish(network: NetworkConfig, report: Report): void {
  try {
    publishNetwork(network);
  } catch (error) {
    report([{ kind: 'failed', during: 'file-change', error: error as Error }]);
  }
}
