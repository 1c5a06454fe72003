// Reads dnsmasq's leases file.
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
