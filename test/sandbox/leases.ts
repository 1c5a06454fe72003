import { once } from 'node:events';
import { existsSync, readFileSync, watch } from 'node:fs';
import { setTimeout } from 'node:timers/promises';

export interface Lease {
  ip: string;
  mac: string;
  /** As the guest sent it, or undefined. */
  hostname: string | undefined;
  expires: Date;
}

function parseLease(line: string): Lease | undefined {
  const [seconds, mac, ip, hostname] = line.split(' ');
  if (!seconds || !mac?.includes(':') || !ip || !hostname) return;
  return { ip, mac, hostname: hostname === '*' ? undefined : hostname, expires: new Date(+seconds * 1000) };
}

/** The leases that dnsmasq has written down for a bridge: none while it has no lease file. */
export function leases(bridge = 'k8s-br0'): Lease[] {
  const file = `/var/lib/dnsmasq/${bridge}/leases`;
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .map(parseLease)
    .filter(lease => lease !== undefined);
}

/**
 * Waits until dnsmasq has leased an address to this MAC. The bridge's dnsmasq directory must be there.
 * Throws with all leases there are when none has come in time.
 */
export function leaseOf(mac: string, timeoutSeconds = 40, bridge = 'k8s-br0'): Promise<Lease> {
  return awaitLease(mac, new Date(0), timeoutSeconds, bridge);
}

/** Waits until the machine has asked again and its lease ends later than this one. */
export function renewed(lease: Lease, timeoutSeconds = 40, bridge = 'k8s-br0'): Promise<Lease> {
  return awaitLease(lease.mac, lease.expires, timeoutSeconds, bridge);
}

async function awaitLease(mac: string, after: Date, timeoutSeconds: number, bridge: string): Promise<Lease> {
  // The directory, since dnsmasq writes the file in place and virlan replaces it.
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
        throw new Error(
          `no lease for ${mac} in ${timeoutSeconds} s; there are: ${others.join(', ') || 'none'}`,
        );
      }
    }
  } finally {
    watcher.close();
    cancelled.abort();
  }
}
