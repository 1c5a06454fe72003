// The reverse path filter (rp_filter): drops a packet that comes in by another link than the one by which its
// answer would leave (Documentation/networking/ip-sysctl.rst, RFC 3704).

/** Returns how many packets it has dropped since the host booted, from the text of /proc/net/netstat. */
export function countReversePathDrops(netstat: string): number {
  const [names = [], values = []] = netstat
    .split('\n')
    .filter(line => line.startsWith('TcpExt:'))
    .map(line => line.split(' '));
  return Number(values[names.indexOf('IPReversePathFilter')] ?? 0);
}
