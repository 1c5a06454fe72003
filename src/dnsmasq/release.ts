// Ends leases before their time, in the name of their clients.
import { createSocket } from 'node:dgram';
import { setTimeout as pause } from 'node:timers/promises';
import { formatIp, type Ipv4 } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
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
    await sendReleases(gateway, clients);
    await pause(waitMs);
  }
}

async function sendReleases(gateway: Ipv4, clients: readonly LeaseClient[]): Promise<void> {
  const socket = createSocket('udp4');
  socket.on('error', () => {});
  for (const client of clients) {
    const message = encodeRelease(client, gateway);
    await new Promise<void>(resolve => socket.send(message, serverPort, formatIp(gateway), () => resolve()));
  }
  socket.close();
}
