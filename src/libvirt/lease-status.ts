// Writes BRIDGE.status: leases in the form of libvirt's leaseshelper (src/network/leaseshelper.c), for `virsh
// net-dhcp-leases` and libnss-libvirt.
//   [{"ip-address": "192.168.100.155", "mac-address": "52:54:00:c5:f2:a7", "expiry-time": 1795000000}]

import { libvirtPaths } from '../system/paths.ts';

/** Returns the path of a bridge's file. */
export function leaseStatusPath(bridge: string): string {
  return `${libvirtPaths.leaseStatus}/${bridge}.status`;
}

/** One lease. */
export interface LeaseStatus {
  readonly ip: string;
  readonly mac: string;
  readonly hostname: string | null;
  readonly clientId: string | null;
  /** Seconds since 1970. */
  readonly expires: number;
}

/** Returns the text of the file. */
export function formatLeaseStatus(leases: readonly LeaseStatus[]): string {
  const entries = leases.map(({ ip, mac, hostname, clientId, expires }) => ({
    'ip-address': ip,
    'mac-address': mac,
    ...(hostname === null ? {} : { hostname }),
    ...(clientId === null ? {} : { 'client-id': clientId }),
    'expiry-time': expires,
  }));
  return `${JSON.stringify(entries, null, 2)}\n`;
}
