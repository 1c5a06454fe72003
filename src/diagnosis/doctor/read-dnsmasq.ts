// Reads facts about dnsmasq: the version and changelog of its package, its log, and what it cannot read.
import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Mac } from '../../address/mac.ts';
import { isAnswer } from '../../answers.ts';
import { run, runOrNull } from '../../system/run.ts';
import { findClosed, type Permissions, parseCredentials } from './closed-path.ts';
import { dnsmasqVersion } from './dnsmasq-cves.ts';
import type { DoctorHostFacts } from './facts.ts';

/** Reads the version and the changelog; null where dnsmasq is not installed or prints no version. */
export async function readDnsmasqPackage(): Promise<DoctorHostFacts['dnsmasq']> {
  const version = dnsmasqVersion((await runOrNull('dnsmasq', ['--version'])) ?? '');
  return version === null ? null : { version, changelog: await readChangelog() };
}

/** Reads the changelog of the distribution's package; null where that cannot be read. */
async function readChangelog(): Promise<string | null> {
  const debian = '/usr/share/doc/dnsmasq-base/changelog.Debian.gz';
  if (existsSync(debian)) return unpacked(debian);
  return runOrNull('rpm', ['--query', '--changelog', 'dnsmasq']);
}

/** Returns the text in a compressed file; null where it is damaged. */
function unpacked(path: string): string | null {
  try {
    return gunzipSync(readFileSync(path)).toString('utf8');
  } catch {
    return null;
  }
}

/**
 * Returns the first directory or file that keeps a dnsmasq from a file, on the way through symbolic links, too; null
 * for none, and where that cannot be told.
 */
export function findClosedPath(pid: number, file: string): Permissions | null {
  try {
    const credentials = parseCredentials(readFileSync(`/proc/${pid}/status`, 'utf8'));
    const way = [...directoriesAbove(file), ...directoriesAbove(realpathSync(file)), file].map(permissionsOf);
    return credentials === null ? null : findClosed(way, credentials);
  } catch {
    // The process or the file has gone meanwhile.
    return null;
  }
}

/** `/var/lib/file` → `/`, `/var`, `/var/lib`. */
function directoriesAbove(path: string): string[] {
  const directory = dirname(path);
  return directory === path ? [] : [...directoriesAbove(directory), directory];
}

function permissionsOf(path: string): Permissions {
  const stats = statSync(path);
  const { uid, gid, mode } = stats;
  return { path, isDirectory: stats.isDirectory(), uid, gid, mode: mode & 0o777 };
}

const journals = ['/run/log/journal', '/var/log/journal'];

/** The log files of daemons on a host without systemd's journal: the first that exists counts. */
const logFiles = ['/var/log/daemon.log', '/var/log/syslog', '/var/log/messages'];

/** The part at the end of such a file that is read. */
const logTailBytes = 262_144;

/** Returns the recent lines of dnsmasq's log that name a MAC, newest first; null without a log. */
export async function readDnsmasqLog(mac: Mac): Promise<string[] | null> {
  if (journals.some(existsSync)) {
    const which = ['--identifier=dnsmasq-dhcp', `--grep=${mac}`, '--since=-1h', '--lines=20'];
    return readJournal(['--quiet', '--reverse', '--output=cat', ...which]);
  }
  const file = logFiles.find(existsSync);
  if (file === undefined) return null;
  const lines = readEnd(file).split('\n');
  return lines.filter(line => line.includes('dnsmasq') && line.includes(mac)).reverse();
}

async function readJournal(args: readonly string[]): Promise<string[] | null> {
  try {
    return (await run('journalctl', args)).split('\n').filter(line => line !== '');
  } catch (error) {
    // It fails where no line matches.
    return isAnswer(error) && error.reason !== 'missing' ? [] : null;
  }
}

function readEnd(path: string): string {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const bytes = Buffer.alloc(Math.min(size, logTailBytes));
    readSync(file, bytes, 0, bytes.length, size - bytes.length);
    return bytes.toString('utf8');
  } finally {
    closeSync(file);
  }
}
