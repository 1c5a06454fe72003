// Asks by ARP who has an address on a link, through the kernel's neighbour table (proc(5), /proc/net/arp):
//   192.168.100.155  0x1         0x2         52:54:00:c5:f2:a7     *        k8s-br0
import { setTimeout as pause } from 'node:timers/promises';
import { sendDatagram } from './datagram.ts';
import { readFileOrNull } from './files.ts';

/** The discard protocol of RFC 863: the packet only makes the kernel send an ARP request. */
const discardPort = 9;

const intervalMs = 2;

/** ATF_COM of linux/if_arp.h: the MAC is known. */
const isComplete = 2;

interface Neighbour {
  readonly flags: number;
  readonly mac: string;
}

/** Returns the kernel's entries of a link, by address. */
function readNeighbours(link: string): Map<string, Neighbour> {
  const neighbours = new Map<string, Neighbour>();
  for (const line of (readFileOrNull('/proc/net/arp') ?? '').split('\n')) {
    const [ip = '', , flags, mac = '', , on] = line.split(/ +/);
    if (on === link) neighbours.set(ip, { flags: Number(flags), mac });
  }
  return neighbours;
}

/** Returns whether the kernel has asked for an address on a link without an answer. */
export function isUnresolved(address: string, link: string): boolean {
  const neighbour = readNeighbours(link).get(address);
  return neighbour !== undefined && (neighbour.flags & isComplete) === 0;
}

/**
 * Makes the kernel send ARP requests for several addresses at once. Returns address → MAC of those that answer within
 * `timeoutMs`.
 */
export async function askNeighbours(
  addresses: readonly string[],
  link: string,
  timeoutMs: number,
): Promise<Map<string, string>> {
  if (addresses.length === 0) return new Map();
  const entries = readNeighbours(link);
  await forget(
    addresses.filter(address => entries.has(address)),
    link,
  );
  await Promise.all(addresses.map(address => sendDatagram(Buffer.of(), discardPort, address)));
  const end = performance.now() + timeoutMs;
  for (;;) {
    const isOver = performance.now() > end;
    const answers = answersOf(addresses, readNeighbours(link));
    if (isOver || answers.size === addresses.length) return answers;
    await pause(intervalMs);
  }
}

function answersOf(
  addresses: readonly string[],
  neighbours: ReadonlyMap<string, Neighbour>,
): Map<string, string> {
  return new Map(
    addresses.flatMap(address => {
      const { flags = 0, mac = '' } = neighbours.get(address) ?? {};
      return (flags & isComplete) === 0 ? [] : [[address, mac] as const];
    }),
  );
}

/**
 * Removes entries. Without an answer to earlier requests the kernel would not send one now: it waits for those first.
 * An entry may belong to a device that left long ago.
 */
async function forget(addresses: readonly string[], link: string): Promise<void> {
  if (addresses.length === 0) return;
  // Loaded only when needed: a machine's first start asks, too, and seldom knows an answer already.
  const { runOrNull } = await import('./run.ts');
  const input = addresses.map(address => `neigh flush to ${address} dev ${link}\n`).join('');
  await runOrNull('ip', ['-force', '-batch', '-'], { input });
}
