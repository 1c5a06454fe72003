// Asks the other hosts of a cluster whether they answer. Loaded only where a network has a tunnel.
import { createSocket } from 'node:dgram';
import { formatIp, type Ipv4 } from '../../address/ip.ts';
import { vxlanPort } from '../../address/port.ts';
import { parseTunnelTable, type TunnelTable } from '../../cluster/fdb.ts';
import { judgePeer, type PeerReport, parsePathBytes } from '../../cluster/peer.ts';
import type { NetworkConfig } from '../../config/config.ts';
import { tunnelOverheadBytes } from '../../network/desired.ts';
import { tunnelName } from '../../network/state/link-names.ts';
import { otherHosts } from '../../network/tunnel/tunnel-hosts.ts';
import { hostAddresses } from '../../system/host-addresses.ts';
import { runOrNull } from '../../system/run.ts';
import { system } from '../../system/system.ts';
import { largePing } from '../large-ping.ts';
import { isReachable } from './reachability.ts';

/** Most peers that are asked at the same time, by a process each. */
const maxAskedTogether = 16;

/**
 * Asks the peers of a network. It takes a second where all answer, and two where one does not. Returns no reports
 * without a tunnel, and where this host does not have the address of `[cluster]`.
 */
export async function askPeers({ bridge, mtu, tunnel }: NetworkConfig): Promise<PeerReport[]> {
  if (tunnel === null || !hostAddresses().includes(formatIp(tunnel.address))) return [];
  const found = system.readFile(`/sys/class/net/${tunnelName(bridge)}/mtu`);
  const bytes = (found === null ? mtu : Number(found)) + tunnelOverheadBytes;
  const reports: PeerReport[] = [];
  const hosts = otherHosts(tunnel, tunnel.evpn === null ? null : await readTable(tunnelName(bridge)));
  for (let at = 0; at < hosts.length; at += maxAskedTogether) {
    const together = hosts.slice(at, at + maxAskedTogether);
    reports.push(...(await Promise.all(together.map(peer => askPeer(tunnel.address, peer, bytes)))));
  }
  return reports;
}

async function readTable(link: string): Promise<TunnelTable> {
  return parseTunnelTable((await runOrNull('bridge', ['-json', 'fdb', 'show', 'dev', link])) ?? '');
}

async function askPeer(address: Ipv4, peer: Ipv4, bytes: number): Promise<PeerReport> {
  const [ofPort, ofPing] = await Promise.all([askTunnelPort(address, peer), pingLarge(address, peer, bytes)]);
  const answer = judgePeer({
    hasRoute: ofPort !== 'no-route',
    refusesVxlan: ofPort === 'refused',
    largePing: ofPing,
    isReachable: ofPing === true || (ofPort === 'silence' && (await isReachable(formatIp(peer)))),
  });
  const mtu = answer === 'too-large' ? await readLargestMtu(address, peer, bytes) : null;
  return { peer, answer, bytes, mtu };
}

async function pingLarge(address: Ipv4, peer: Ipv4, bytes: number): Promise<boolean | null> {
  if (!system.isInstalled('ping')) return null;
  const args = ['-I', formatIp(address), ...largePing(formatIp(peer), bytes)];
  return (await runOrNull('ping', args)) !== null;
}

/** The kernel remembers what hosts on the way have told it after a large packet. */
async function readLargestMtu(address: Ipv4, peer: Ipv4, bytes: number): Promise<number | null> {
  const route = await runOrNull('ip', ['-json', 'route', 'get', formatIp(peer), 'from', formatIp(address)]);
  const known = parsePathBytes(route ?? '');
  return known === null || known >= bytes ? null : known - tunnelOverheadBytes;
}

/** Longest wait for an ICMP error. */
const refusalTimeoutMs = 1000;

/** ICMP errors by which a host or a firewall refuses a packet: see icmp_err_convert of net/ipv4/icmp.c. */
const refusals = ['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH'];

type TunnelPortAnswer = 'no-route' | 'refused' | 'silence';

/**
 * Sends an empty datagram to the port of VXLAN. A kernel with a tunnel there drops it without an answer, as a
 * firewall may: silence means nothing.
 */
async function askTunnelPort(address: Ipv4, peer: Ipv4): Promise<TunnelPortAnswer> {
  const socket = createSocket('udp4');
  try {
    return await new Promise<TunnelPortAnswer>(resolve => {
      const timer = setTimeout(resolve, refusalTimeoutMs, 'silence');
      socket.on('close', () => clearTimeout(timer));
      socket.on('error', ({ code = '' }: NodeJS.ErrnoException) =>
        resolve(refusals.includes(code) ? 'refused' : 'silence'),
      );
      const connected = (error?: Error) => (error === undefined ? socket.send('') : resolve('no-route'));
      // Only a connected socket is told of ICMP errors: see udp(7).
      socket.bind({ address: formatIp(address) }, () => socket.connect(vxlanPort, formatIp(peer), connected));
    });
  } finally {
    socket.close();
  }
}
