import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { type FSWatcher, watch } from 'chokidar';
import type { Logger } from 'pino';
import type { NetworkConfig } from '../config/config.ts';
import { dnsmasqPaths, dnsmasqRoot } from '../dnsmasq/conf.ts';
import { withReservations } from '../dnsmasq/hostsfile.ts';
import { tellDnsmasq } from '../dnsmasq/process.ts';
import { messageOf } from '../errors.ts';
import { readHostsfile, readLedger, wantedReservations } from '../identity/store.ts';
import { publishLeases, publishNetwork } from '../operations/publish.ts';
import { paths } from '../system/paths.ts';

/**
 * An editor may write a file in pieces, and dnsmasq writes its leases in place: a file is read when it has been left
 * alone for a moment.
 */
const options = { ignoreInitial: true, awaitWriteFinish: { stabilityThreshold: 60, pollInterval: 15 } };

/** Calls `changed` when the configuration, or an option of the user's own for dnsmasq, was written. */
export function followConfiguration(path: string, changed: () => void): FSWatcher {
  return watch([path, paths.dnsmasqExtras], options).on('all', changed);
}

/**
 * Shows leases to libvirt's tools as dnsmasq writes them, tells dnsmasq of lines that somebody adds to its hostsfile,
 * and calls `sign` when its files are not as they should be.
 */
export function followDnsmasqFiles(
  networks: () => readonly NetworkConfig[],
  sign: () => void,
  log: Logger,
): FSWatcher {
  const take = (path: string) => {
    const network = networks().find(({ bridge }) => dirname(path) === dnsmasqPaths(bridge).directory);
    if (network === undefined) return;
    const { conf, hostsfile, leases } = dnsmasqPaths(network.bridge);
    if (path === leases) publishLeases(network.bridge);
    else if (path === hostsfile && isRight(network, hostsfile)) tellDnsmasq(network.bridge);
    else if (path === conf || path === hostsfile) sign();
  };
  // The directory of all: a network that a new configuration brings has its own there.
  return follow(dnsmasqRoot, 1, take, log);
}

/** Shows machines to libvirt's tools by the names that the ledger has for them. */
export function followLedger(networks: () => readonly NetworkConfig[], log: Logger): FSWatcher {
  const take = (path: string) => {
    if (path === paths.ledger) for (const network of networks()) publishNetwork(network);
  };
  // The directory, since a file that is replaced twice in a row may be lost sight of.
  return follow(dirname(paths.ledger), 0, take, log);
}

function follow(directory: string, depth: number, take: (path: string) => void, log: Logger): FSWatcher {
  return watch(directory, { ...options, depth }).on('all', (_, path) => {
    try {
      take(path);
    } catch (error) {
      log.error({ path }, messageOf(error));
    }
  });
}

/** Whether a hostsfile has all that it should: then it was virlan that wrote it, or somebody added a line of his own. */
function isRight(network: NetworkConfig, path: string): boolean {
  const hostsfile = readHostsfile(network.bridge);
  const wanted = wantedReservations(network, readLedger(), hostsfile);
  return existsSync(path) && withReservations(hostsfile, wanted) === null;
}
