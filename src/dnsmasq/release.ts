// Ends leases before their time, in the name of their clients.
import { createSocket } from 'node:dgram';
import { formatIp } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import { encodeRelease } from './dhcp.ts';
import type { LeaseClient } from './leases.ts';
import { findDnsmasq } from './process.ts';

/** The port of a DHCP server. */
const serverPort = 67;

/** Releases leases. dnsmasq accepts that from the host as well, and does not answer. */
export async function releaseLeases(
  { bridge, gateway }: Pick<NetworkConfig, 'bridge' | 'gateway'>,
  clients: readonly LeaseClient[],
): Promise<void> {
  if (clients.length === 0 || findDnsmasq(bridge) === null) return;
  const socket = createSocket('udp4');
  socket.on('error', () => {});
  for (const client of clients) {
    const message = encodeRelease(client, gateway);
    await new Promise<void>(resolve => socket.send(message, serverPort, formatIp(gateway), () => resolve()));
  }
  socket.close();
}
