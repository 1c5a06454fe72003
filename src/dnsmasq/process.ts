// Finds a network's dnsmasq by its process, and tells it of changes.
import { existsSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { WriteError } from '../errors.ts';
import { writeAtomically } from '../system/files.ts';
import { hasNoProcess, isOnThisHost, ofProcess, processIds, sendSignal } from '../system/processes.ts';
import { readIfReadable, readOwnIfReadable } from '../system/unreadable-files.ts';
import { isUserOfDnsmasq } from './owner.ts';
import { dnsmasqPaths } from './paths.ts';

/**
 * Cache of this process: configuration file → the process found last, so that /proc is not searched again if
 * the pid file is lost. Each entry is verified before it is used.
 */
const found = new Map<string, number>();

/**
 * Returns the process of a network's dnsmasq, or null. The pid file may be outdated, so the process must run
 * with this network's configuration; and it may be lost, while the process still holds the ports that another
 * one would need. Any user can start a process of that name and with those arguments, so its executable and
 * its user count too.
 */
export function findDnsmasq(bridge: string): number | null {
  const { pid, conf } = dnsmasqPaths(bridge);
  const candidates = [Number(readIfReadable(pid)?.trim()), found.get(conf)];
  const process =
    candidates.find(each => each !== undefined && each > 1 && isDnsmasq(each, conf)) ?? search(conf);
  if (process === null) found.delete(conf);
  else found.set(conf, process);
  return process;
}

function search(conf: string): number | null {
  const running = processIds().filter(other => isDnsmasq(other, conf) && isOnThisHost(other));
  // dnsmasq forks for each connection.
  return running.find(other => !running.includes(Number(processStat(other)?.[1]))) ?? null;
}

/** Returns whether a network has its bridge and its dnsmasq, without running a program. */
export function isAlive({ bridge }: { readonly bridge: string }): boolean {
  if (!existsSync(`/sys/class/net/${bridge}/bridge`)) return false;
  const pid = findDnsmasq(bridge);
  return pid !== null && !isStopped(pid);
}

/** Returns whether a process was stopped by a signal, so that it does not run until another one. */
export function isStopped(pid: number): boolean {
  return processStat(pid)?.[0] === 'T';
}

/**
 * Returns whether a process has ended or is a zombie. Before that it may still hold its sockets: dnsmasq
 * removes its pid file first, and the kernel removes a process's command line before it closes its files.
 */
export function hasEnded(pid: number): boolean {
  return ['Z', 'X'].includes(processStat(pid)?.[0] ?? 'X');
}

/**
 * Returns the process of a network's dnsmasq that was killed and has not ended, or null. The kernel has
 * removed its command line and waits (net/packet and others call synchronize_net()) before it closes the last
 * of its sockets.
 */
export function findDyingDnsmasq(bridge: string): number | null {
  const pid = Number(readIfReadable(dnsmasqPaths(bridge).pid)?.trim());
  if (!(pid > 1)) return null;
  const [name, commandLine] = ['comm', 'cmdline'].map(what =>
    ofProcess(() => readFileSync(`/proc/${pid}/${what}`, 'utf8')),
  );
  const isDying = name === 'dnsmasq\n' && commandLine === '' && !hasEnded(pid);
  return isDying && isOwnUser(pid, dnsmasqPaths(bridge).conf) ? pid : null;
}

function isDnsmasq(pid: number, conf: string): boolean {
  const [, ...args] = ofProcess(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8'))?.split('\0') ?? [];
  return args.includes(`--conf-file=${conf}`) && isDnsmasqProgram(pid) && isOwnUser(pid, conf);
}

/** Returns whether a process runs a program dnsmasq that belongs to root, also one that an upgrade has replaced. */
function isDnsmasqProgram(pid: number): boolean {
  const exe = `/proc/${pid}/exe`;
  try {
    return /\/dnsmasq( \(deleted\))?$/.test(readlinkSync(exe)) && statSync(exe).uid === 0;
  } catch (error) {
    // In a container without CAP_SYS_PTRACE a link cannot be read. The user is known there, too.
    return !hasNoProcess(error);
  }
}

/** Returns whether a process belongs to root, which dnsmasq starts as, or to the user that it changes to. */
function isOwnUser(pid: number, conf: string): boolean {
  const status = ofProcess(() => readFileSync(`/proc/${pid}/status`, 'utf8')) ?? '';
  const uid = /^Uid:\t\d+\t(\d+)/m.exec(status)?.[1] ?? '';
  return uid === '0' || isUserOfDnsmasq(uid, readIfReadable(conf) ?? '', readIfReadable('/etc/passwd') ?? '');
}

/** Returns state, parent and so on (proc(5), /proc/pid/stat); null when the process does not exist. */
function processStat(pid: number): string[] | null {
  const stat = ofProcess(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  return stat === null ? null : stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/**
 * Makes dnsmasq read the hostsfile and the names by SIGHUP, unless it has read this version or has only just been
 * started: it reads them then, and the signal would end it. The version is kept in a file, so that after a virlan
 * process was killed between writing and telling, the next one tells. Returns false when no dnsmasq runs.
 */
export function tellDnsmasq(bridge: string): boolean {
  const pid = findDnsmasq(bridge);
  if (pid === null) return false;
  const { told } = dnsmasqPaths(bridge);
  const version = versionFor(pid, bridge);
  if (readOwnIfReadable(told) === version) return true;
  // SIGHUP is the lowest bit of the mask of caught signals (proc(5), /proc/pid/stat, sigcatch). dnsmasq catches it from
  // its first lines on, before it reads any file; until then the signal would end it.
  if (Number(processStat(pid)?.[31]) % 2 === 0) return true;
  if (!sendSignal(pid, 'SIGHUP')) return false;
  remember(told, version);
  return true;
}

/** Returns whether a network's dnsmasq runs and has read the present hostsfile and names, as virlan told it. */
export function isTold(bridge: string): boolean {
  const pid = findDnsmasq(bridge);
  return pid !== null && readOwnIfReadable(dnsmasqPaths(bridge).told) === versionFor(pid, bridge);
}

/** Returns the version of the hostsfile and the names, for one process: another one has not been told. */
function versionFor(pid: number, bridge: string): string {
  const { hostsfile, names } = dnsmasqPaths(bridge);
  return `${[pid, ...[hostsfile, names].map(versionOf)].join(' ')}\n`;
}

function versionOf(path: string): string {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? '-' : `${stats.ino} ${stats.mtimeNs}`;
}

/** Without the version, on a full /run, dnsmasq is told once more the next time. */
function remember(told: string, version: string): void {
  try {
    writeAtomically(told, version, 0o600);
  } catch (error) {
    if (!(error instanceof WriteError)) throw error;
  }
}
