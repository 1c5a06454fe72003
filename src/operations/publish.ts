// Publishes a network's leases and machines in the files that libvirt's own tools read.
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { formatIp } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import { probeMac } from '../diagnosis/probe/mac.ts';
import { readLeases } from '../dnsmasq/lease-file.ts';
import { isCurrent } from '../dnsmasq/leases.ts';
import { VirlanError } from '../errors.ts';
import { readLedger } from '../identity/store.ts';
import { formatLeaseStatus, leaseStatusPath } from '../libvirt/lease-status.ts';
import { formatMacMap, macMapPath } from '../libvirt/mac-map.ts';
import { readFileOrNull, writeAtomically } from '../system/files.ts';

/**
 * libvirt takes an expiry of 0 as past: an infinite lease gets the largest time that its 32-bit readers know.
 */
const maxExpiry = 2 ** 31 - 1;

/** Host names and client ids that libvirt's tools may print: guests choose them. */
const safeForTerminal = /^[A-Za-z0-9._:*-]{1,255}$/;

/** Writes the leases and the MACs of a network's machines. */
export function publishNetwork({ name, bridge }: Pick<NetworkConfig, 'name' | 'bridge'>): void {
  publishLeases(bridge);
  try {
    publish(macMapPath(bridge), formatMacMap(macsOn(name)));
  } catch (error) {
    // Decisions made from the ledger report its damage; the published file stays as it was.
    if (!isLedgerError(error)) throw error;
  }
}

function isLedgerError(error: unknown): boolean {
  return error instanceof VirlanError && (error.code === 'damaged-file' || error.code === 'newer-format');
}

/** Returns name of a machine → MACs of its NICs on the network, and those they had before. */
function macsOn(network: string): Map<string, readonly string[]> {
  const macs = new Map<string, readonly string[]>();
  for (const entry of readLedger().present()) {
    if (entry.network === network && entry.host === null)
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
  publish(leaseStatusPath(bridge), formatLeaseStatus(leases));
}

/** Writes a file if its text differs. Does nothing on a host without libvirt's directory. */
function publish(path: string, text: string): void {
  if (!existsSync(dirname(path))) return;
  if (readFileOrNull(path) !== text) writeAtomically(path, text);
}
