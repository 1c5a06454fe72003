// Finds out by ARP which MAC answers for an address.
import { createSocket } from 'node:dgram';
import { setTimeout as pause } from 'node:timers/promises';
import { formatIp, type Ipv4 } from '../../address/ip.ts';
import { runOrNull } from '../../system/run.ts';

/** Longest wait for an answer to ARP, and the interval of asking the kernel for it. */
const arpTimeoutMs = 1500;
const arpIntervalMs = 50;

/** The discard protocol of RFC 863: the packet only makes the kernel send an ARP request. */
const discardPort = 9;

/** Makes the kernel send an ARP request for an address. Returns `mac: null` without an answer. */
export async function findNeighbour(ip: Ipv4, bridge: string): Promise<{ readonly mac: string | null }> {
  const address = formatIp(ip);
  await runOrNull('ip', ['neigh', 'flush', 'to', address, 'dev', bridge]);
  await sendDatagram(address);
  for (let waitedMs = 0; waitedMs < arpTimeoutMs; waitedMs += arpIntervalMs) {
    const output = await runOrNull('ip', ['-json', 'neigh', 'show', 'to', address, 'dev', bridge]);
    const mac = /"lladdr":"([0-9a-f:]+)"/.exec(output ?? '')?.[1];
    if (mac !== undefined) return { mac };
    await pause(arpIntervalMs);
  }
  return { mac: null };
}

async function sendDatagram(address: string): Promise<void> {
  const socket = createSocket('udp4');
  socket.on('error', () => {});
  await new Promise<void>(resolve => socket.send('', discardPort, address, () => resolve()));
  socket.close();
}
