// Follows files: the configuration, dnsmasq's files and the ledger.
import { mkdirSync, statSync, unwatchFile, watch as watchDirectory, watchFile } from 'node:fs';
import { dirname } from 'node:path';
import { type ChokidarOptions, watch } from 'chokidar';
import type { NetworkConfig } from '../config/config.ts';
import { promisedAddresses } from '../dnsmasq/hostsfile.ts';
import { writesOtherLeases } from '../dnsmasq/open-leases.ts';
import { dnsmasqPaths, dnsmasqRoot } from '../dnsmasq/paths.ts';
import { findDnsmasq, isTold, tellDnsmasq } from '../dnsmasq/process.ts';
import { readPublished, readWanted } from '../identity/reservation-files.ts';
import { endLeasesInTheWay, readHostsfile } from '../identity/store.ts';
import { publishLeases, publishNetwork } from '../operations/publish.ts';
import type { Event } from '../report/event.ts';
import { type InotifySysctl, usedUpSysctl } from '../system/inotify.ts';
import { paths } from '../system/paths.ts';
import { system } from '../system/system.ts';
import type { Configuration } from './configuration.ts';
import { FollowedFiles, pollIntervalMs, type WayChanges } from './monitors/followed-files.ts';

/**
 * An editor may write a file in pieces, and dnsmasq writes its leases in place: wait until a file is
 * complete.
 */
const options = { ignoreInitial: true, awaitWriteFinish: { stabilityThreshold: 60, pollInterval: 15 } };

/**
 * Calls `changed` when the configuration, or an option of the administrator's for dnsmasq, was written. Options that
 * are written while nothing follows them are seen by the next comparison.
 */
export function followConfiguration(
  configuration: Configuration,
  changed: () => void,
  report: (event: Event) => void,
): FollowedFiles {
  const settled = () => configuration.isOutdated() && changed();
  return follow([configuration.path, paths.dnsmasqExtras], {}, { onChange: changed, settled, report });
}

/** Callbacks about dnsmasq's files. */
export interface DnsmasqFileEvents {
  /** The leases of a network were written. */
  leasesChanged(): void;
  /** A file differs from what virlan wrote. */
  drifted(): void;
  report(event: Event): void;
}

/**
 * Publishes leases to libvirt's tools as dnsmasq writes them, makes dnsmasq read its hostsfile and its names
 * after they changed, and ends leases that are in the way of a reservation.
 */
export function followDnsmasqFiles(
  networks: () => readonly NetworkConfig[],
  { leasesChanged, drifted, report }: DnsmasqFileEvents,
): FollowedFiles {
  const onChange = (path: string) => {
    const network = networks().find(({ bridge }) => dirname(path) === dnsmasqPaths(bridge).directory);
    if (network === undefined) return;
    const { conf, hostsfile, names, leases } = dnsmasqPaths(network.bridge);
    // virlan wrote what dnsmasq has been told of: comparing that with all machines would find nothing.
    const isForeign = (path === hostsfile || path === names) && !isTold(network.bridge);
    if (path === leases) {
      publishLeases(network.bridge);
      leasesChanged();
      if (isLeasesFileReplaced(network.bridge)) drifted();
    } else if (isForeign || path === conf) {
      if (isForeign && system.exists(path) && isComplete(network)) tellDnsmasq(network.bridge);
      // Lines may be missing, and one written by hand may name another address for a machine.
      drifted();
    }
    if (path !== leases && path !== hostsfile) return;
    const promised = promisedAddresses(readHostsfile(network), network);
    void endLeasesInTheWay(network, promised).catch((error: Error) =>
      report({ kind: 'failed', during: 'file-change', error, path }),
    );
  };
  const settled = () => {
    for (const network of networks()) publishLeases(network.bridge);
    leasesChanged();
    drifted();
  };
  // The directory of all networks, because a new configuration may add one.
  return follow([dnsmasqRoot], { depth: 1, followSymlinks: false }, { onChange, settled, report });
}

/** Returns whether somebody has moved, removed or replaced the leases file of a dnsmasq that runs. */
function isLeasesFileReplaced(bridge: string): boolean {
  const pid = findDnsmasq(bridge);
  return pid !== null && writesOtherLeases(pid, bridge);
}

/** The least time for which a change of the ledger waits for others before the machines are published. */
const publishDelayMs = 60;

/** It waits this many times as long as the last publication took, which reads the files of all machines. */
const publishRest = 4;

/**
 * Publishes machines to libvirt's tools by the names and MACs that the ledger has for them, and then calls
 * `drifted`.
 */
export function followLedger(
  networks: () => readonly NetworkConfig[],
  drifted: () => void,
  report: (event: Event) => void,
): FollowedFiles {
  const failed = (error: Error) =>
    report({ kind: 'failed', during: 'file-change', error, path: paths.ledger });
  let timer: NodeJS.Timeout | null = null;
  let delayMs = publishDelayMs;
  const publish = () => {
    timer = null;
    const began = performance.now();
    try {
      for (const network of networks()) publishNetwork(network);
    } catch (error) {
      failed(error as Error);
    }
    delayMs = Math.max(publishDelayMs, publishRest * (performance.now() - began));
    // The guard of a network follows from its reservations.
    drifted();
  };
  const changed = () => {
    if (timer === null) timer = setTimeout(publish, delayMs).unref();
  };
  const ways = {
    identity: () => identityOf(paths.ledger),
    // The directory alone: each change of a name or a MAC makes and removes a file in it, and chokidar would
    // watch the file of each machine.
    byEvents: (started: () => void, usedUp: (limit: InotifySysctl) => void) => {
      const onError = (error: Error) => {
        const limit = usedUpSysctl(error);
        if (limit === null) failed(error);
        else usedUp(limit);
      };
      try {
        mkdirSync(paths.ledger, { recursive: true, mode: 0o700 });
        const watcher = watchDirectory(paths.ledger, changed).on('error', onError);
        setImmediate(started);
        return watcher;
      } catch (error) {
        setImmediate(onError, error as Error);
        return { close: () => undefined };
      }
    },
    byPolling: () => {
      watchFile(paths.ledger, { interval: pollIntervalMs }, changed);
      return { close: () => unwatchFile(paths.ledger, changed) };
    },
  };
  return new FollowedFiles(ways, { ...wayReports(paths.ledger, report), settled: changed });
}

/** Callbacks about followed files. */
interface Changes {
  onChange(path: string): void;
  /** Any of the files may have changed. */
  settled(): void;
  report(event: Event): void;
}

/** Follows files at these paths or below. */
function follow(
  followed: readonly [string, ...string[]],
  depth: Pick<ChokidarOptions, 'depth' | 'followSymlinks'>,
  { onChange, settled, report }: Changes,
): FollowedFiles {
  const [first] = followed;
  const failed = (error: unknown, path: string) =>
    report({ kind: 'failed', during: 'file-change', error: error as Error, path });
  const guarded = (work: () => void, path: string) => {
    try {
      work();
    } catch (error) {
      failed(error, path);
    }
  };
  const followBy = (way: ChokidarOptions) =>
    watch([...followed], { ...options, ...depth, ...way }).on('all', (_, path) =>
      guarded(() => onChange(path), path),
    );
  const ways = {
    identity: () => followed.map(identityOf).join(' '),
    byEvents: (started: () => void, usedUp: (limit: InotifySysctl) => void) =>
      followBy({})
        .on('ready', started)
        // Without a listener, a loop of links would end the watcher. Timers notice changes, too.
        .on('error', error => {
          const limit = usedUpSysctl(error);
          if (limit === null) failed(error, first);
          else usedUp(limit);
        }),
    byPolling: () =>
      followBy({ usePolling: true, interval: pollIntervalMs, binaryInterval: pollIntervalMs }).on(
        'error',
        error => failed(error, first),
      ),
  };
  return new FollowedFiles(ways, { ...wayReports(first, report), settled: () => guarded(settled, first) });
}

/**
 * Returns which directory is at a path. Of a file only whether it exists: editors replace files, and chokidar follows
 * the new one, but none that is made later than the old one is removed.
 */
function identityOf(path: string): string {
  try {
    const stats = statSync(path, { bigint: true });
    return stats.isDirectory() ? `${stats.dev}:${stats.ino}` : 'file';
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}

function wayReports(path: string, report: (event: Event) => void): Omit<WayChanges, 'settled'> {
  return {
    polled: limit => report({ kind: 'files-polled', path, limit }),
    followed: () => report({ kind: 'files-followed', path }),
  };
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
