// Reads dnsmasq's leases file.
import { statSync } from 'node:fs';
import { readOwnFileOrNull } from '../system/files.ts';
import { type Lease, parseLeases } from './leases.ts';
import { dnsmasqPaths } from './paths.ts';

/** dnsmasq refuses leases that would make it larger: conf.ts, dhcp-lease-max; and a line has 1 kB at most. */
const maxLeasesBytes = 2 ** 24;

/** Reads the leases that dnsmasq has given, expired ones included. */
export function readLeases(bridge: string): Lease[] {
  return parseLeases(readLeasesText(bridge));
}

function readLeasesText(bridge: string): string {
  return readOwnFileOrNull(dnsmasqPaths(bridge).leases, maxLeasesBytes) ?? '';
}

/** Returns no text for a file that cannot be read, which `virlan status` reports. */
export function readLeasesTextOrNone(bridge: string): string {
  try {
    return readLeasesText(bridge);
  } catch {
    return '';
  }
}

/**
 * dnsmasq writes its file in place, also when it is told of a change: it truncates it first (lease_update_file in its
 * lease.c). On a busy host that lasts until dnsmasq runs again.
 */
const writeMs = 50;

/** Returns whether a text of the leases file is unfinished. One that stays as it is for `writeMs` is not. */
export function isBeingWritten(bridge: string, text: string): boolean {
  if (text.endsWith('\n')) return false;
  const ageMs = Date.now() - (statSync(dnsmasqPaths(bridge).leases, { throwIfNoEntry: false })?.mtimeMs ?? 0);
  return ageMs >= 0 && ageMs < writeMs;
}
