// Compares the leases file that a running dnsmasq has open with the one at its path: after `mv`, `rm` or `sed -i`,
// dnsmasq goes on writing the file that it opened when it started, and nobody else sees those leases.
import {
  closeSync,
  existsSync,
  fchownSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { listDirectory } from '../system/files.ts';
import { dnsmasqPaths } from './paths.ts';

/** Flags of a file in /proc/PID/fdinfo (proc(5)): O_ACCMODE and O_APPEND, and what fopen(3) sets for "a+". */
const flagsMask = 0o2003;
const readAndAppend = 0o2002;

/**
 * Returns whether a dnsmasq writes its leases to another file than the one at its path. A file system that was mounted
 * there since hides the file and does not replace it.
 */
export function writesOtherLeases(pid: number, bridge: string): boolean {
  const { leases, hostsfile } = dnsmasqPaths(bridge);
  const open = openLeases(pid);
  if (open === null) return false;
  try {
    const { ino, dev } = statSync(open);
    // Of a file: in an overlay, directories have another device than the files in them.
    if (dev !== statSync(hostsfile).dev) return false;
    return ino !== statSync(leases, { throwIfNoEntry: false })?.ino;
  } catch {
    // The process has ended, or nothing of virlan's is there.
    return false;
  }
}

/**
 * Puts a copy of the leases that a dnsmasq has open at their path, if nothing is there: the next dnsmasq begins with
 * them. What somebody put there is left alone, and no link is followed: dnsmasq's user can write the directory.
 */
export function keepLeases(pid: number, bridge: string): void {
  const { leases } = dnsmasqPaths(bridge);
  const open = existsSync(leases) ? null : openLeases(pid);
  if (open === null) return;
  try {
    const { uid, gid } = statSync(open);
    const text = readFileSync(open);
    const file = openSync(leases, 'wx', 0o644);
    try {
      writeFileSync(file, text);
      fchownSync(file, uid, gid);
    } catch (error) {
      rmSync(leases, { force: true });
      throw error;
    } finally {
      closeSync(file);
    }
  } catch {
    // The next dnsmasq begins without leases: reserved machines get their addresses all the same.
  }
}

/** Returns the path below /proc of the leases file that dnsmasq has open, the only one that it reads and appends to. */
function openLeases(pid: number): string | null {
  try {
    const open = listDirectory(`/proc/${pid}/fd`).find(file => isLeasesFile(pid, file));
    return open === undefined ? null : `/proc/${pid}/fd/${open}`;
  } catch {
    // The process has ended, or its files may not be read, as in a container without CAP_SYS_PTRACE.
    return null;
  }
}

function isLeasesFile(pid: number, file: string): boolean {
  const [, flags = ''] = /^flags:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/${file}`, 'utf8')) ?? [];
  if ((Number.parseInt(flags, 8) & flagsMask) !== readAndAppend) return false;
  return statSync(`/proc/${pid}/fd/${file}`).isFile();
}
