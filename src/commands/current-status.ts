// The status that several commands print: that of the watcher, or else what is read from the host.
import { warn } from '../cli/terminal.ts';
import { loadConfig } from '../config/load.ts';
import { messageOf } from '../errors.ts';
import { collectStatus } from '../operations/collect-status.ts';
import { publishNetwork } from '../operations/publish.ts';
import type { NetworkStatus, Status } from '../report/status.ts';
import { watcherAnswer } from './watcher-answer.ts';

/** Returns the status for a configuration. */
export async function currentStatus(config: string): Promise<Status> {
  const answer = await watcherAnswer(config, '/status');
  return answer === null ? readStatus(config) : JSON.parse(answer);
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
