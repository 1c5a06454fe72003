import { existsSync } from 'node:fs';
import { formatIpv4 } from '../address/ipv4.ts';
import { readFileOrNull, writeAtomically } from '../host/files.ts';
import { libvirtPaths } from '../host/paths.ts';
import { isCurrent } from '../identity/leases.ts';
import { readLeases } from '../identity/store.ts';
import { formatLeaseStatus } from '../libvirt/lease-status.ts';

/** libvirt takes leases for past whose time is over, so one without an end gets the last second that its 32-bit readers know. */
const endless = 2 ** 31 - 1;

/** What a guest may have put into a name or client id and libvirt's tools may print as it stands. */
const harmless = /^[A-Za-z0-9._:*-]{1,255}$/;

/** Writes a bridge's leases where libvirt's own tools look for them. Does nothing on a host without libvirt's directory, or when nothing changed. */
export function publishLeases(bridge: string): void {
  if (!existsSync(libvirtPaths.leaseStatus)) return;
  const now = new Date();
  const only = (text: string | null) => (text !== null && harmless.test(text) ? text : null);
  const leases = readLeases(bridge)
    .filter(lease => isCurrent(lease, now))
    .map(({ ip, mac, hostname, clientId, expires }) => ({
      ip: formatIpv4(ip),
      mac,
      hostname: only(hostname),
      clientId: only(clientId),
      expires: expires === 0 ? endless : expires,
    }));
  const path = `${libvirtPaths.leaseStatus}/${bridge}.status`;
  const text = formatLeaseStatus(leases);
  if (readFileOrNull(path) !== text) writeAtomically(path, text);
}
