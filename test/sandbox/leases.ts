// The lease file of dnsmasq, one lease per line: "1700000000 52:54:00:00:00:0a 192.168.100.9 web 01:52:…"
import { once } from 'node:events';
import { existsSync, readFileSync, watch } from 'node:fs';
import { setTimeout } from 'node:timers/promises';

export interface Lease {
  ip: string;
  mac: string;
  /** Holds the name that the guest sent, unchanged; null for none. */
  hostname: string | null;
  expires: Date;
}

function parseLease(line: string): Lease | null {
  const [seconds, mac, ip, hostname] = line.split(' ');
  if (!seconds || !mac?.includes(':') || !ip || !hostname) return null;
  return { ip, mac, hostname: hostname === '*' ? null : hostname, expires: new Date(+seconds * 1000) };
}

/** Returns the leases in a bridge's lease file; none if there is no file. */
export function leases(bridge = 'k8s-br0'): Lease[] {
  const file = `/var/lib/dnsmasq/${bridge}/leases`;
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .map(parseLease)
    .filter(lease => lease !== null);
}

/**
 * Waits until dnsmasq has leased an address to this MAC. The bridge's dnsmasq directory must exist. Throws
 * with the other leases if there is none in time.
 */
export function leaseOf(mac: string, timeoutSeconds = 40, bridge = 'k8s-br0'): Promise<Lease> {
  return awaitLease(mac, new Date(0), timeoutSeconds, bridge);
}

/** Waits until the machine has a lease that expires later than this one. */
export function renewed(lease: Lease, timeoutSeconds = 40, bridge = 'k8s-br0'): Promise<Lease> {
  return awaitLease(lease.mac, lease.expires, timeoutSeconds, bridge);
}

async function awaitLease(mac: string, after: Date, timeoutSeconds: number, bridge: string): Promise<Lease> {
  // The directory is watched because dnsmasq writes the file in place and virlan replaces it.
  const watcher = watch(`/var/lib/dnsmasq/${bridge}`);
  const cancelled = new AbortController();
  const timeUp = setTimeout(timeoutSeconds * 1000, true, { signal: cancelled.signal });
  timeUp.catch(() => {});
  try {
    for (;;) {
      const changed = once(watcher, 'change');
      const lease = leases(bridge).find(lease => lease.mac === mac.toLowerCase() && lease.expires > after);
      if (lease) return lease;
      if ((await Promise.race([changed, timeUp])) === true) {
        const others = leases(bridge).map(lease => `${lease.mac} ${lease.ip}`);
        throw new Error(`no lease for ${mac} in ${timeoutSeconds} s; others: ${others.join(', ') || 'none'}`);
      }
    }
  } finally {
    watcher.close();
    cancelled.abort();
  }
}
