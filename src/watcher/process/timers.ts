// The watcher's timers, for changes that no event announces.
import { notifySystemd, watchdogIntervalMs } from './notify.ts';

/** Interval of comparing everything, for changes that nothing announced, or that were lost. */
const reconcileIntervalMs = 180_000;

/**
 * Interval of reading the state of dnsmasq's process: it is not a child, so its end is not announced.
 */
const dnsmasqIntervalMs = 200;

/** Interval of asking dnsmasq a question: a process that hangs cannot be told from one that is idle. */
const answerIntervalMs = 60_000;

/** Interval of looking for changes of iptables-legacy, which the kernel does not report. */
const legacyRulesIntervalMs = 5000;

/** Interval of looking for a guest that has become the root of a spanning tree: one file for each network. */
const rootPortIntervalMs = 1000;

/** Interval of looking for static entries of the bridges' tables of MACs: mostly one file for each network. */
const staticEntriesIntervalMs = 5000;

/** Interval of looking whether FRR's bgpd is another process: two files, and only where it has a part. */
const bgpdIntervalMs = 1000;

/** Interval of looking whether the watcher's socket is there: inotify would miss a directory that is replaced. */
const socketIntervalMs = 1000;

/** Interval of looking whether a followed directory was replaced: inotify would follow the old one. */
const followedIntervalMs = 1000;

/** Interval of asking the other hosts of a cluster. */
const peersIntervalMs = 30_000;

/** The work of the timers. */
export interface TimedWork {
  reconcile(): void;
  checkDnsmasq(): void;
  askDnsmasq(): void;
  checkRootPorts(): void;
  checkStaticEntries(): void;
  checkBgpd(): void;
  checkSocket(): void;
  /** The files that are followed. */
  followed(): readonly { followReplaced(): void }[];
  checkLegacyRules(): void;
  askPeers(): void;
}

/** Starts all timers, the report to systemd's watchdog included. Returns a function that stops them. */
export function startTimers({
  reconcile,
  checkDnsmasq,
  askDnsmasq,
  checkRootPorts,
  checkStaticEntries,
  checkBgpd,
  checkSocket,
  followed,
  checkLegacyRules,
  askPeers,
}: TimedWork): () => void {
  const watchdogMs = watchdogIntervalMs(process.env);
  // One may hang since before the watcher's start.
  askDnsmasq();
  const timers = [
    setInterval(reconcile, reconcileIntervalMs),
    setInterval(checkDnsmasq, dnsmasqIntervalMs),
    setInterval(askDnsmasq, answerIntervalMs),
    setInterval(checkRootPorts, rootPortIntervalMs),
    setInterval(checkStaticEntries, staticEntriesIntervalMs),
    setInterval(checkBgpd, bgpdIntervalMs),
    setInterval(checkSocket, socketIntervalMs),
    setInterval(() => {
      for (const files of followed()) files.followReplaced();
    }, followedIntervalMs),
    setInterval(checkLegacyRules, legacyRulesIntervalMs),
    setInterval(askPeers, peersIntervalMs),
    ...(watchdogMs === null ? [] : [setInterval(() => void notifySystemd('WATCHDOG=1'), watchdogMs)]),
  ];
  return () => {
    for (const timer of timers) clearInterval(timer);
  };
}
