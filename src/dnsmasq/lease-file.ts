// Reads dnsmasq's leases file.
import { statSync } from 'node:fs';
import { readOwnFileOrNull } from '../system/files.ts';
import { type Lease, parseLeases } from './leases.ts';
import { dnsmasqPaths } from './paths.ts';

/** dnsmasq refuses leases that would make it larger: conf.ts, dhcp-lease-max; and a line has 1 kB at most. */
const maxLeasesBytes = 2 ** 24;

/**
 * dnsmasq writes its file in place: it truncates it first (lease_update_file in its lease.c). On a busy host, the file
 * stays empty, or ends within a line, until dnsmasq runs again. One that is older is as it should be.
 */
const writeMs = 50;
const readAgainMs = 2;
const maxReads = 100;

/** Reads the leases that dnsmasq has given, expired ones included. */
export function readLeases(bridge: string): Lease[] {
  return parseLeases(readLeasesText(bridge));
}

/** Reads the file of the leases, again while dnsmasq writes it; an empty text where there is none. */
function readLeasesText(bridge: string): string {
  const { leases } = dnsmasqPaths(bridge);
  for (let reads = 1; ; reads += 1) {
    const writtenMs = writtenAt(leases);
    const ageMs = Date.now() - writtenMs;
    const text = readOwnFileOrNull(leases, maxLeasesBytes) ?? '';
    if (text.endsWith('\n') || reads === maxReads) return text;
    // By the time before the read: this process may have been kept waiting after it, while dnsmasq wrote the rest.
    if ((ageMs < 0 || ageMs >= writeMs) && writtenAt(leases) === writtenMs) return text;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, readAgainMs);
  }
}

/** Returns the time of the last write to a file in ms; 0 where there is none. */
function writtenAt(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** Returns no text for a file that cannot be read, which `virlan status` reports. */
export function readLeasesTextOrNone(bridge: string): string {
  try {
    return readLeasesText(bridge);
  } catch {
    return '';
  }
}
