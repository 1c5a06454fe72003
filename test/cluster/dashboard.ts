// Grafana's dashboard, of which these tests check the part about a cluster; test/clients/prometheus.test.ts the rest.
import { readFileSync } from 'node:fs';
import type { ClusterHost } from '../sandbox/cluster-hosts.ts';
import { checkout } from '../sandbox/virlan.ts';

interface Panel {
  readonly type: string;
  readonly targets?: readonly { readonly expr: string }[];
  readonly panels?: readonly Panel[];
}

/** Returns the metrics in the dashboard's row about the cluster that a host does not export. */
export async function clusterMetricsAbsent(host: ClusterHost): Promise<string[]> {
  const dashboard = readFileSync(`${checkout}/contrib/grafana/virlan.json`, 'utf8');
  const { panels } = JSON.parse(dashboard) as { panels: Panel[] };
  const ofCluster = panels.flatMap(({ type, panels: inside }) => (type === 'row' ? (inside ?? []) : []));
  const names = ofCluster.flatMap(
    ({ targets }) => targets?.map(({ expr }) => expr.replace(/\{.*/, '')) ?? [],
  );
  const { stdout } = await host.virlan('metrics');
  // A peer that was not asked yet is not a number.
  return names.filter(name => !new RegExp(`^${name}\\{[^}]+\\} (\\d+|nan)$`, 'im').test(stdout));
}
