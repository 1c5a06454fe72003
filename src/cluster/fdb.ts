// Reads `bridge -json fdb show dev LINK`: to which hosts a tunnel sends frames whose receiver is not known, and how
// many senders it has seen behind each. Pure.
//   [{"mac": "00:00:00:00:00:00", "dst": "10.0.0.2", "flags": ["self"], "state": "permanent"},
//    {"mac": "52:54:00:00:00:02", "dst": "10.0.0.2", "flags": ["self"], "state": ""}, …]
import { formatIp, type Ipv4, parseIpv4 } from '../address/ip.ts';

const anyReceiver = '00:00:00:00:00:00';

/** The table of a tunnel. */
export interface TunnelTable {
  /** The hosts to which frames go whose receiver is not known. */
  readonly peers: readonly Ipv4[];
  /** By host: the number of MACs from which frames have come from it. The kernel forgets them after five minutes. */
  readonly macsBehind: ReadonlyMap<Ipv4, number>;
}

/** Reads the table. */
export function parseTunnelTable(output: string): TunnelTable {
  const entries = JSON.parse(output || '[]') as { mac?: string; dst?: string }[];
  const peers: Ipv4[] = [];
  const macsBehind = new Map<Ipv4, number>();
  for (const { mac, dst } of entries) {
    const host = parseIpv4(dst ?? '');
    if (host === null) continue;
    if (mac === anyReceiver) peers.push(host);
    else macsBehind.set(host, (macsBehind.get(host) ?? 0) + 1);
  }
  return { peers, macsBehind };
}

/** Returns the lines for `bridge -batch`. */
export function peerCommands(link: string, missing: readonly Ipv4[], surplus: readonly Ipv4[]): string[] {
  const command = (verb: 'append' | 'delete') => (peer: Ipv4) =>
    `fdb ${verb} ${anyReceiver} dev ${link} dst ${formatIp(peer)}`;
  return [...surplus.map(command('delete')), ...missing.map(command('append'))];
}
