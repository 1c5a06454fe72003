// A ping of the size of a tunnel's largest packet, which no host on the way may fragment.

/** The headers of IPv4 and ICMP. */
const headerBytes = 28;

/** Returns the arguments of ping. `bytes` is the size of the whole IP packet. */
export function largePing(peer: string, bytes: number): string[] {
  return ['-n', '-c', '1', '-W', '1', '-M', 'do', '-s', `${bytes - headerBytes}`, peer];
}
