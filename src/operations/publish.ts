import { existsSync } from 'node:fs';
import { formatIp } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import { probeMac } from '../diagnosis/probe/mac.ts';
import { isCurrent } from '../dnsmasq/leases.ts';
import { DamagedLedger } from '../identity/ledger.ts';
import { readLeases, readLedger } from '../identity/store.ts';
import { formatLeaseStatus } from '../libvirt/lease-status.ts';
import { formatMacMap } from '../libvirt/mac-map.ts';
import { readFileOrNull, writeAtomically } from '../system/files.ts';
import { libvirtPaths } from '../system/paths.ts';

/** libvirt takes leases for past whose time is over, so one without an end gets the last second that its 32-bit readers know. */
const endless = 2 ** 31 - 1;

/** What a guest may have put into a name or client id and libvirt's tools may print as it stands. */
const harmless = /^[A-Za-z0-9._:*-]{1,255}$/;

/** Writes a network's leases and machines where libvirt's own tools look for them. */
export function publishNetwork({ name, bridge }: Pick<NetworkConfig, 'name' | 'bridge'>): void {
  publishLeases(bridge);
  try {
    publish(`${bridge}.macs`, formatMacMap(macsOn(name)));
  } catch (error) {
    // Whoever decides anything by the ledger tells of its damage; what is published stays as it was.
    if (!(error instanceof DamagedLedger)) throw error;
  }
}

/** Name of a machine → MACs of its NICs on the network, and those they had before. */
function macsOn(network: string): Map<string, readonly string[]> {
  const macs = new Map<string, readonly string[]>();
  for (const entry of readLedger().entries()) {
    if (entry.network === network && entry.retired === null)
      macs.set(entry.name, [...(macs.get(entry.name) ?? []), ...entry.macs]);
  }
  return macs;
}

/** The leases alone, which change more often. */
export function publishLeases(bridge: string): void {
  const now = new Date();
  const probe = probeMac(bridge);
  const only = (text: string | null) => (text !== null && harmless.test(text) ? text : null);
  const leases = readLeases(bridge)
    .filter(lease => isCurrent(lease, now) && lease.mac !== probe)
    .map(({ ip, mac, hostname, clientId, expires }) => ({
      ip: formatIp(ip),
      mac,
      hostname: only(hostname),
      clientId: only(clientId),
      expires: expires === 0 ? endless : expires,
    }));
  publish(`${bridge}.status`, formatLeaseStatus(leases));
}

/** Does nothing on a host without libvirt's directory, or when nothing changed. */
function publish(file: string, text: string): void {
  if (!existsSync(libvirtPaths.leaseStatus)) return;
  const path = `${libvirtPaths.leaseStatus}/${file}`;
  if (readFileOrNull(path) !== text) writeAtomically(path, text);
}
