// Adds the watcher's state to the status that is read from the host. Pure.
import { InvalidConfig } from '../config/invalid-config.ts';
import type { ProbeStatus } from '../diagnosis/probe/result.ts';
import type { LibvirtNetworkProblem } from '../libvirt-networks/decide.ts';
import type { Fight } from '../network/steps/units.ts';
import { type ClusterStatus, withCluster } from '../report/cluster-status.ts';
import type { MetricsProblem } from '../report/event.ts';
import type { NetworkProblem, Status } from '../report/status.ts';
import { describeFault } from '../report/status-text.ts';
import { type AskedPeer, peerProblems, withAnswers } from '../report/tunnel-status.ts';
import type { InotifySysctl } from '../system/inotify.ts';
import { isoSeconds } from '../text.ts';
import type { FailedRepair } from './repairs/failed-repairs.ts';

export interface WatcherState {
  readonly pid: number;
  readonly libvirt: 'connected' | 'disconnected';
  /** The reason why the configuration on disk is not in force; null when it is. */
  readonly configurationProblem: Error | null;
  /** The limit of inotify that is used up, so that files are polled; null when none is. */
  readonly usedUpInotify: InotifySysctl | null;
  /** The reason why metrics are not served where virlan.ini wants them; null when they are. */
  readonly metricsProblem: MetricsProblem | null;
  readonly libvirtProblems: readonly LibvirtNetworkProblem[];
  readonly fights: readonly Fight[];
  /** The repairs that failed when they were last tried. */
  readonly failures: readonly Pick<FailedRepair, 'network' | 'error'>[];
  /** Returns the result of the last probe of a network; null before the first. */
  lastProbe(network: string): ProbeStatus | null;
  /** Returns the peers of a network that have been asked. */
  askedPeers(network: string): readonly AskedPeer[];
  /** Returns the shared ledger of a network; null where it has none. */
  cluster(network: string): ClusterStatus | null;
}

function configurationTexts(problem: Error | null): readonly string[] {
  if (problem === null) return [];
  return problem instanceof InvalidConfig ? problem.lines : [problem.message];
}

/**
 * Returns the status with the watcher's state. Problems of the host as a whole are listed under the first
 * network.
 */
export function mergeStatus(status: Status, watcher: WatcherState): Status {
  const ofHost: NetworkProblem[] = [
    ...configurationTexts(watcher.configurationProblem).map(
      text => ({ kind: 'configuration', text }) as const,
    ),
    ...(watcher.usedUpInotify === null
      ? []
      : [{ kind: 'files-polled', limit: watcher.usedUpInotify } as const]),
    ...(watcher.metricsProblem === null
      ? []
      : [{ kind: 'metrics-not-served', problem: watcher.metricsProblem } as const]),
    ...watcher.libvirtProblems.map(problem => ({ kind: 'libvirt-network', problem }) as const),
    ...watcher.fights.map(fight => ({ kind: 'fight', fight }) as const),
  ];
  const networks = status.networks.map((network, index) => {
    const probe = watcher.lastProbe(network.name);
    const failedProbe: NetworkProblem[] =
      probe?.passed === false ? [{ kind: 'probe', at: probe.at, seen: probe.seen ?? '' }] : [];
    const asked = watcher.askedPeers(network.name);
    const cluster = watcher.cluster(network.name);
    const failures = watcher.failures
      .filter(({ network: name }) => name === network.name)
      .map(({ error }) => ({ kind: 'failed', error }) as const);
    const faults = [
      ...(index === 0 ? ofHost : []).map(describeFault),
      ...failures.map(describeFault),
      ...network.faults,
      ...[...failedProbe, ...peerProblems(network, asked), ...clusterProblems(cluster)].map(describeFault),
    ];
    const tunnel = withAnswers(network.tunnel, asked);
    const shared =
      network.shared === null || cluster === null ? network.shared : withCluster(network.shared, cluster);
    return { ...network, tunnel, shared, problems: faults.map(({ text }) => text), faults, probe };
  });
  const { pid, libvirt } = watcher;
  return { ...status, watcher: { running: true, pid, libvirt }, networks };
}

/** Returns the problem of a network that hears nothing from etcd. */
function clusterProblems(cluster: ClusterStatus | null): NetworkProblem[] {
  const { error, since } = cluster?.etcd ?? { error: null, since: new Date(0) };
  return error === null ? [] : [{ kind: 'etcd', ...error, since: isoSeconds(since) }];
}
