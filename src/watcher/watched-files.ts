// Follows files: the configuration, dnsmasq's files and the ledger.
import { mkdirSync, watch as watchDirectory } from 'node:fs';
import { dirname } from 'node:path';
import { type FSWatcher, watch } from 'chokidar';
import type { NetworkConfig } from '../config/config.ts';
import { promisedAddresses } from '../dnsmasq/hostsfile.ts';
import { dnsmasqPaths, dnsmasqRoot } from '../dnsmasq/paths.ts';
import { tellDnsmasq } from '../dnsmasq/process.ts';
import { readPublished, readWanted } from '../identity/reservation-files.ts';
import { endLeasesInTheWay, readHostsfile } from '../identity/store.ts';
import { publishLeases, publishNetwork } from '../operations/publish.ts';
import type { Event } from '../report/event.ts';
import { paths } from '../system/paths.ts';
import { system } from '../system/system.ts';

/**
 * An editor may write a file in pieces, and dnsmasq writes its leases in place: wait until a file is
 * complete.
 */
const options = { ignoreInitial: true, awaitWriteFinish: { stabilityThreshold: 60, pollInterval: 15 } };

/** Calls `changed` when the configuration, or an option of the administrator's for dnsmasq, was written. */
export function followConfiguration(
  path: string,
  changed: () => void,
  report: (event: Event) => void,
): FSWatcher {
  const failed = (error: unknown) =>
    report({ kind: 'failed', during: 'file-change', error: error as Error, path });
  return watch([path, paths.dnsmasqExtras], options).on('error', failed).on('all', changed);
}

/**
 * Publishes leases to libvirt's tools as dnsmasq writes them, makes dnsmasq read its hostsfile and its names
 * after they changed, ends leases that are in the way of a reservation, and calls `drifted` when its files differ
 * from what virlan wrote.
 */
export function followDnsmasqFiles(
  networks: () => readonly NetworkConfig[],
  drifted: () => void,
  report: (event: Event) => void,
): FSWatcher {
  const onChange = (path: string) => {
    const network = networks().find(({ bridge }) => dirname(path) === dnsmasqPaths(bridge).directory);
    if (network === undefined) return;
    const { conf, hostsfile, names, leases } = dnsmasqPaths(network.bridge);
    const isPublished = path === hostsfile || path === names;
    if (path === leases) publishLeases(network.bridge);
    else if (isPublished && system.exists(path) && isComplete(network)) tellDnsmasq(network.bridge);
    else if (isPublished || path === conf) drifted();
    if (path !== leases && path !== hostsfile) return;
    const promised = promisedAddresses(readHostsfile(network.bridge));
    void endLeasesInTheWay(network, promised).catch((error: Error) =>
      report({ kind: 'failed', during: 'file-change', error, path }),
    );
  };
  // The directory of all networks, because a new configuration may add one.
  return follow(dnsmasqRoot, 1, onChange, report);
}

/** How long a change of the ledger waits for others before the machines are published. */
const publishDelayMs = 60;

/** Publishes machines to libvirt's tools by the names and MACs that the ledger has for them. */
export function followLedger(
  networks: () => readonly NetworkConfig[],
  report: (event: Event) => void,
): { close(): void } {
  const failed = (error: Error) =>
    report({ kind: 'failed', during: 'file-change', error, path: paths.ledger });
  let timer: NodeJS.Timeout | null = null;
  const publish = () => {
    timer = null;
    try {
      for (const network of networks()) publishNetwork(network);
    } catch (error) {
      failed(error as Error);
    }
  };
  try {
    mkdirSync(paths.ledger, { recursive: true, mode: 0o700 });
    // The directory alone: each change of a name or a MAC makes and removes a file in it, and chokidar would
    // watch the file of each machine.
    const watcher = watchDirectory(paths.ledger, () => {
      if (timer === null) timer = setTimeout(publish, publishDelayMs).unref();
    });
    watcher.on('error', failed);
    return watcher;
  } catch (error) {
    failed(error as Error);
    return { close: () => undefined };
  }
}

function follow(
  directory: string,
  depth: number,
  onChange: (path: string) => void,
  report: (event: Event) => void,
): FSWatcher {
  const failed = (error: unknown) =>
    report({ kind: 'failed', during: 'file-change', error: error as Error, path: directory });
  // Without a listener, used-up inotify or a loop of links would end the watcher. Timers notice changes, too.
  const watched = watch(directory, { ...options, depth, followSymlinks: false }).on('error', failed);
  return watched.on('all', (_, path) => {
    try {
      onChange(path);
    } catch (error) {
      report({ kind: 'failed', during: 'file-change', error: error as Error, path });
    }
  });
}

/**
 * Returns whether the hostsfile and the file of names are as virlan writes them: virlan wrote them, or a person
 * added a line without a name.
 */
function isComplete(network: NetworkConfig): boolean {
  const [wanted, found] = [readWanted(network), readPublished(network.bridge)];
  return (['reservations', 'names'] as const).every(what => {
    const [lines, others] = [new Set(wanted[what]), new Set(found[what])];
    return lines.size === others.size && [...lines].every(line => others.has(line));
  });
}
