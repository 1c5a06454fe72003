// Asks by ARP who has an address on a link, through the kernel's neighbour table (proc(5), /proc/net/arp):
//   192.168.100.155  0x1         0x2         52:54:00:c5:f2:a7     *        k8s-br0
import { createSocket } from 'node:dgram';
import { setTimeout as pause } from 'node:timers/promises';
import { readFileOrNull } from './files.ts';

/** The discard protocol of RFC 863: the packet only makes the kernel send an ARP request. */
const discardPort = 9;

const intervalMs = 2;

/** ATF_COM of linux/if_arp.h: the MAC is known. */
const isComplete = 2;

/**
 * Returns the MAC that the kernel has for an address on a link, or null. It may be of somebody who has left
 * long ago.
 */
function knownNeighbour(address: string, link: string): string | null {
  const entry = findEntry(address, link);
  return entry !== null && (entry.flags & isComplete) !== 0 ? entry.mac : null;
}

function findEntry(address: string, link: string): { readonly flags: number; readonly mac: string } | null {
  for (const line of (readFileOrNull('/proc/net/arp') ?? '').split('\n')) {
    const [ip, , flags, mac = '', , on] = line.split(/ +/);
    if (ip === address && on === link) return { flags: Number(flags), mac };
  }
  return null;
}

/** Makes the kernel send an ARP request. Returns the MAC that answers; null without an answer in time. */
export async function askNeighbour(address: string, link: string, timeoutMs: number): Promise<string | null> {
  // Without an answer to earlier requests the kernel would not send one now: it waits for those first.
  if (findEntry(address, link) !== null) {
    // Loaded only when needed: a machine's first start asks, too, and seldom knows an answer already.
    const { runOrNull } = await import('./run.ts');
    await runOrNull('ip', ['neigh', 'flush', 'to', address, 'dev', link]);
  }
  await sendDatagram(address);
  const end = performance.now() + timeoutMs;
  for (;;) {
    const mac = knownNeighbour(address, link);
    if (mac !== null || performance.now() > end) return mac;
    await pause(intervalMs);
  }
}

async function sendDatagram(address: string): Promise<void> {
  const socket = createSocket('udp4');
  socket.on('error', () => {});
  await new Promise<void>(resolve => socket.send('', discardPort, address, () => resolve()));
  socket.close();
}
