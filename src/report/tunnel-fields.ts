// The fields of a network's tunnel in `virlan status --json`.
import type { SessionState } from '../cluster/bgp-sessions.ts';
import type { PeerAnswer } from '../cluster/peer.ts';

/** The tunnel of a network to other hosts, as `virlan status --json` shows it. */
export interface TunnelStatus {
  readonly vni: number;
  /** Its link on this host. */
  readonly link: string;
  /** Of the link, in bytes; null without one. */
  readonly mtu: number | null;
  /** The address of this host for the others. */
  readonly address: string;
  /** The other hosts: those of virlan.ini, or those that route reflectors have told FRR. */
  readonly peers: readonly PeerStatus[];
  /** The state of BGP by FRR; null where the kernel learns from frames where machines are. */
  readonly bgp: BgpStatus | null;
}

/** BGP by FRR, as `virlan status --json` shows it. */
export interface BgpStatus {
  readonly as: number;
  readonly neighbours: readonly BgpNeighbourStatus[];
}

/** A neighbour in BGP, as `virlan status --json` shows it. */
export interface BgpNeighbourStatus {
  readonly address: string;
  /** The state of the session; null while bgpd does not have the neighbour. */
  readonly session: SessionState | null;
  /** The time when the session was established, or ended; null if it has never been. */
  readonly since: string | null;
  /** The number of routes received from there: a host and its machines. */
  readonly routes: number;
}

/** Another host of a cluster, as `virlan status --json` shows it. */
export interface PeerStatus {
  readonly address: string;
  /** True if frames whose receiver is not known go to it: the tunnel has an entry for it in the kernel. */
  readonly listed: boolean;
  /** The number of MACs that sent frames from there within the last minutes. */
  readonly macs: number;
  /** The answer when the watcher last asked it; null before that, and without a watcher. */
  readonly answer: PeerAnswer | null;
  /** The time when it began to answer like this; null with `answer`. */
  readonly since: string | null;
}
