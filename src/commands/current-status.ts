// The status that several commands print: that of the watcher, or else what is read from the host.
import { warn } from '../cli/terminal.ts';
import { loadConfig } from '../config/load.ts';
import { messageOf } from '../errors.ts';
import { collectStatus } from '../operations/collect-status.ts';
import { publishNetwork } from '../operations/publish.ts';
import type { NetworkStatus, Status } from '../report/status.ts';
import { paths } from '../system/paths.ts';

/** Returns the status for a configuration. */
export async function currentStatus(config: string): Promise<Status> {
  return (await requestStatus(config)) ?? (await readStatus(config));
}

/** Returns the watcher's status; null without a watcher, or for a configuration other than the watcher's. */
async function requestStatus(config: string): Promise<Status | null> {
  if (config !== paths.config) return null;
  const { requestWatcher } = await import('../watcher/socket/client.ts');
  const answer = await requestWatcher('GET', '/status');
  return answer?.status === 200 ? JSON.parse(answer.body) : null;
}

/**
 * Reads the status from the host. Publishes the leases to libvirt's tools too: without a watcher nothing else
 * does.
 */
async function readStatus(config: string): Promise<Status> {
  const collected = await collectStatus(loadConfig(config));
  for (const network of collected.networks) publishOrWarn(network);
  return collected;
}

function publishOrWarn(network: NetworkStatus): void {
  try {
    publishNetwork(network);
  } catch (error) {
    warn(messageOf(error));
  }
}
