import { readFileSync, statSync } from 'node:fs';
import { isMissing, readFileOrNull, writeAtomically } from '../host/files.ts';
import { paths } from '../host/paths.ts';
import { dnsmasqPaths } from './dnsmasq.ts';

/** The process of a network's dnsmasq, or null. A pid file may be old, so the process must run with this network's configuration. */
export function findDnsmasq(bridge: string): number | null {
  const files = dnsmasqPaths(bridge);
  const pid = Number(readFileOrNull(files.pid)?.trim());
  if (!Number.isInteger(pid) || pid <= 1) return null;
  try {
    const [program = '', ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return program.endsWith('dnsmasq') && args.includes(`--conf-file=${files.conf}`) ? pid : null;
  } catch (error) {
    if (isMissing(error) || (error as NodeJS.ErrnoException).code === 'ESRCH') return null;
    throw error;
  }
}

/**
 * Makes sure that dnsmasq has read the hostsfile as it is now. Which version it was told of last is kept in a file, so
 * that a process killed between writing and telling leaves the telling to the next. False when no dnsmasq runs; it
 * reads the hostsfile itself when it starts.
 */
export function tellDnsmasq(bridge: string): boolean {
  const told = `${paths.run}/${bridge}.told`;
  const { ino, mtimeNs } = statSync(dnsmasqPaths(bridge).hostsfile, { bigint: true });
  const pid = findDnsmasq(bridge);
  const version = `${pid} ${ino} ${mtimeNs}\n`;
  if (pid === null) return false;
  if (readFileOrNull(told) === version) return true;
  process.kill(pid, 'SIGHUP');
  writeAtomically(told, version, 0o600);
  return true;
}
