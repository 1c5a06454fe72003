// Ends leases before their time, in the name of their clients.
import { createSocket } from 'node:dgram';
import { statSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { formatIp, type Ipv4 } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import { encodeRelease } from './dhcp.ts';
import { readLeasesTextOrNone } from './lease-file.ts';
import type { LeaseClient } from './leases.ts';
import { dnsmasqPaths } from './paths.ts';
import { findDnsmasq } from './process.ts';

/** The port of a DHCP server. */
const serverPort = 67;

/**
 * Waits for dnsmasq to end a lease, one after each message. It answers no release, and the kernel drops messages to it
 * while its queue is full. The machine's start waits meanwhile.
 */
const releaseWaitsMs = [5, 20, 80, 160];

/**
 * Releases the leases that `choose` returns for the text of the leases file, again while it still returns some. dnsmasq
 * accepts that from the host as well, and writes its leases at once.
 */
export async function releaseLeases(
  { bridge, gateway }: Pick<NetworkConfig, 'bridge' | 'gateway'>,
  choose: (text: string) => readonly LeaseClient[],
): Promise<void> {
  for (const waitMs of releaseWaitsMs) {
    const clients = choose(await readWrittenText(bridge));
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

/**
 * dnsmasq writes its file in place, also when it is told of a change: it truncates it first (lease_update_file in its
 * lease.c). On a busy host that lasts until dnsmasq runs again.
 */
const writeMs = 50;
const readAgainMs = 2;

/** Reads the file when dnsmasq does not write it. A file that stays as it is for `writeMs` is as it should be. */
async function readWrittenText(bridge: string): Promise<string> {
  for (;;) {
    const text = readLeasesTextOrNone(bridge);
    if (text.endsWith('\n') || !isJustWritten(dnsmasqPaths(bridge).leases)) return text;
    await pause(readAgainMs);
  }
}

function isJustWritten(path: string): boolean {
  const ageMs = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0);
  return ageMs >= 0 && ageMs < writeMs;
}
