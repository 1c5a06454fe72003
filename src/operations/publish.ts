// Writes a network's leases and machines where libvirt's own tools look for them.
import { existsSync } from 'node:fs';
import { formatIp } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import { probeMac } from '../diagnosis/probe/mac.ts';
import { isCurrent } from '../dnsmasq/leases.ts';
import { VirlanError } from '../errors.ts';
import { readLeases, readLedger } from '../identity/store.ts';
import { formatLeaseStatus } from '../libvirt/lease-status.ts';
import { formatMacMap } from '../libvirt/mac-map.ts';
import { readFileOrNull, writeAtomically } from '../system/files.ts';
import { libvirtPaths } from '../system/paths.ts';

/**
 * libvirt takes an expiry of 0 as past: an infinite lease gets the largest time that its 32-bit readers know.
 */
const maxExpiry = 2 ** 31 - 1;

/** What a guest may put into a host name or client id so that libvirt's tools may print it. */
const safeForTerminal = /^[A-Za-z0-9._:*-]{1,255}$/;

/** Writes the leases and the MACs of a network's machines. */
export function publishNetwork({ name, bridge }: Pick<NetworkConfig, 'name' | 'bridge'>): void {
  publishLeases(bridge);
  try {
    publish(`${bridge}.macs`, formatMacMap(macsOn(name)));
  } catch (error) {
    // Each decision made from the ledger reports its damage; what is published stays as it was.
    const isUnreadable = error instanceof VirlanError && isOfLedger(error);
    if (!isUnreadable) throw error;
  }
}

function isOfLedger({ code }: VirlanError): boolean {
  return code === 'damaged-file' || code === 'newer-format';
}

/** Returns name of a machine → MACs of its NICs on the network, and those they had before. */
function macsOn(network: string): Map<string, readonly string[]> {
  const macs = new Map<string, readonly string[]>();
  for (const entry of readLedger().entries()) {
    if (entry.network === network && entry.retired === null)
      macs.set(entry.name, [...(macs.get(entry.name) ?? []), ...entry.macs]);
  }
  return macs;
}

/** Writes the leases alone, which change more often. */
export function publishLeases(bridge: string): void {
  const now = new Date();
  const probe = probeMac(bridge);
  const ifSafe = (text: string | null) => (text !== null && safeForTerminal.test(text) ? text : null);
  const leases = readLeases(bridge)
    .filter(lease => isCurrent(lease, now) && lease.mac !== probe)
    .map(({ ip, mac, hostname, clientId, expires }) => ({
      ip: formatIp(ip),
      mac,
      hostname: ifSafe(hostname),
      clientId: ifSafe(clientId),
      expires: expires === 0 ? maxExpiry : expires,
    }));
  publish(`${bridge}.status`, formatLeaseStatus(leases));
}

/** Writes a file that differs. Does nothing on a host without libvirt's directory. */
function publish(file: string, text: string): void {
  if (!existsSync(libvirtPaths.leaseStatus)) return;
  const path = `${libvirtPaths.leaseStatus}/${file}`;
  if (readFileOrNull(path) !== text) writeAtomically(path, text);
}
