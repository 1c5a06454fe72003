// The tunnel of a network and its peers, as `virlan status --json` shows them. Pure.
import { formatIp, type Ipv4 } from '../address/ip.ts';
import type { BgpSession } from '../cluster/bgp-sessions.ts';
import type { PeerReport } from '../cluster/peer.ts';
import type { NetworkConfig } from '../config/config.ts';
import { findingOfPeer } from '../diagnosis/peer-finding.ts';
import { detailOfSession } from '../diagnosis/session-finding.ts';
import { tunnelName } from '../network/state/link-names.ts';
import type { ObservedNetwork } from '../network/state/state.ts';
import { otherHosts } from '../network/tunnel/tunnel-hosts.ts';
import { isoSeconds } from '../text.ts';
import type { NetworkProblem, NetworkStatus } from './status.ts';
import type { BgpNeighbourStatus, TunnelStatus } from './tunnel-fields.ts';

/** Returns the status of a tunnel, without the answers of peers; null for a network without one. */
export function tunnelStatus(
  { bridge, tunnel }: Pick<NetworkConfig, 'bridge' | 'tunnel'>,
  found: ObservedNetwork['tunnel'],
  sessions: readonly BgpSession[],
): TunnelStatus | null {
  if (tunnel === null) return null;
  return {
    vni: tunnel.vni,
    link: tunnelName(bridge),
    mtu: found?.link?.mtu ?? null,
    address: formatIp(tunnel.address),
    peers: otherHosts(tunnel, found).map(peer => ({
      address: formatIp(peer),
      listed: found?.peers.includes(peer) ?? false,
      macs: found?.macsBehind.get(peer) ?? 0,
      answer: null,
      since: null,
    })),
    bgp:
      tunnel.evpn === null
        ? null
        : { as: tunnel.evpn.as, neighbours: tunnel.peers.map(peer => neighbourStatus(peer, sessions)) },
  };
}

function neighbourStatus(peer: Ipv4, sessions: readonly BgpSession[]): BgpNeighbourStatus {
  const session = sessions.find(({ neighbour }) => neighbour === peer);
  return {
    address: formatIp(peer),
    session: session?.state ?? null,
    since: session?.since == null ? null : isoSeconds(session.since.getTime()),
    routes: session?.routes ?? 0,
  };
}

/** Returns the problems of sessions. Why one is not established, the doctor finds out. */
export function sessionProblems(sessions: readonly BgpSession[]): NetworkProblem[] {
  return sessions
    .filter(({ state }) => state !== 'established')
    .map(session => ({ kind: 'bgp', detail: detailOfSession(session, 'not-established', 0) }) as const);
}

/** A peer that the watcher has asked. */
export interface AskedPeer extends PeerReport {
  /** The time when it began to answer like this. */
  readonly since: Date;
}

/** Returns the status of a tunnel with the answers of its peers. */
export function withAnswers(tunnel: TunnelStatus | null, asked: readonly AskedPeer[]): TunnelStatus | null {
  if (tunnel === null) return null;
  const peers = tunnel.peers.map(peer => {
    const report = asked.find(each => formatIp(each.peer) === peer.address);
    return report === undefined
      ? peer
      : { ...peer, answer: report.answer, since: isoSeconds(report.since.getTime()) };
  });
  return { ...tunnel, peers };
}

/** Returns the problems of the peers that have been asked. */
export function peerProblems({ name }: NetworkStatus, asked: readonly AskedPeer[]): NetworkProblem[] {
  return asked.flatMap(report => {
    const { state, detail } = findingOfPeer(report, { network: name, macs: 0 });
    return state === 'fail' ? [{ kind: 'peer', detail } as const] : [];
  });
}
