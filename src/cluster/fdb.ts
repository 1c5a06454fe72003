// Reads `bridge -json fdb show dev LINK`: to which hosts a tunnel sends frames whose receiver is not known. Pure.
//   [{"mac": "00:00:00:00:00:00", "dst": "10.0.0.2", "flags": ["self"], "state": "permanent"}, …]
import { formatIp, type Ipv4, parseIpv4 } from '../address/ip.ts';

const anyReceiver = '00:00:00:00:00:00';

/** Returns the addresses of the hosts. */
export function parsePeers(output: string): Ipv4[] {
  const entries = JSON.parse(output || '[]') as { mac?: string; dst?: string }[];
  return entries.flatMap(({ mac, dst }) => (mac === anyReceiver ? (parseIpv4(dst ?? '') ?? []) : []));
}

/** Returns the lines for `bridge -batch`. */
export function peerCommands(link: string, missing: readonly Ipv4[], surplus: readonly Ipv4[]): string[] {
  const command = (verb: 'append' | 'delete') => (peer: Ipv4) =>
    `fdb ${verb} ${anyReceiver} dev ${link} dst ${formatIp(peer)}`;
  return [...surplus.map(command('delete')), ...missing.map(command('append'))];
}
