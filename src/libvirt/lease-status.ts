/** One lease as libvirt's leaseshelper writes it (src/network/leaseshelper.c): what `virsh net-dhcp-leases` and libnss-libvirt read. */
export interface LeaseStatus {
  readonly ip: string;
  readonly mac: string;
  readonly hostname: string | null;
  readonly clientId: string | null;
  /** Seconds since 1970. */
  readonly expires: number;
}

/** The `.status` file of a bridge in libvirt's own format. */
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
