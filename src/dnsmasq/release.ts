// Ends leases before their time, in the name of their clients.
import { setTimeout as pause } from 'node:timers/promises';
import { formatIp } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import { sendDatagram } from '../system/datagram.ts';
import { encodeRelease } from './dhcp.ts';
import type { LeaseClient } from './leases.ts';
import { findDnsmasq } from './process.ts';

/** The port of a DHCP server. */
const serverPort = 67;

/**
 * Waits for dnsmasq to end a lease, one after each message. It answers no release, and the kernel drops messages to it
 * while its queue is full. The machine's start waits meanwhile.
 */
const releaseWaitsMs = [5, 20, 80, 160];

/**
 * Releases leases, again while `remaining` still returns some. dnsmasq accepts that from the host as well, and writes
 * its leases at once.
 */
export async function releaseLeases(
  { bridge, gateway }: Pick<NetworkConfig, 'bridge' | 'gateway'>,
  remaining: () => readonly LeaseClient[],
): Promise<void> {
  for (const waitMs of releaseWaitsMs) {
    const clients = remaining();
    if (clients.length === 0 || findDnsmasq(bridge) === null) return;
    for (const client of clients)
      await sendDatagram(encodeRelease(client, gateway), serverPort, formatIp(gateway));
    await pause(waitMs);
  }
}
