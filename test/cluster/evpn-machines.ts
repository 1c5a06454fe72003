// Machines on hosts that learn by FRR: whether they reach each other, and where the hosts send frames for them.
import assert from 'node:assert/strict';
import type { ClusterHost } from '../sandbox/cluster-hosts.ts';
import { type Guest, probe } from '../sandbox/host.ts';
import { until } from '../sandbox/until.ts';

/** A machine with its address. */
export interface Placed {
  readonly machine: Guest;
  readonly ip: string;
}

/** Sends a ping from a machine to another one. Returns whether it was answered. */
export async function answers(from: Placed, to: Placed): Promise<boolean> {
  return (await probe(from.machine, { proto: 'icmp', to: to.ip })) === 'open';
}

/** Awaits that all machines reach each other. */
export async function reachEachOther(machines: readonly Placed[], timeoutSeconds: number): Promise<void> {
  for (const from of machines)
    for (const to of machines)
      if (from !== to)
        await until(() => answers(from, to), timeoutSeconds).catch(() =>
          assert.fail(`${from.machine.name} does not reach ${to.machine.name}`),
        );
}

/** An entry of the tunnel in the kernel. */
interface Entry {
  readonly mac: string;
  readonly dst?: string;
  readonly flags: readonly string[];
}

/** Returns where the tunnel of a host sends frames. */
export async function tunnelEntries(host: ClusterHost): Promise<Entry[]> {
  return JSON.parse(await host.run('bridge', '-json', 'fdb', 'show', 'dev', 'k8s-br0-vx'));
}

/** Returns by which hosts a MAC is reached, as FRR has told the kernel. */
export async function learnt(host: ClusterHost, wanted: string): Promise<(string | undefined)[]> {
  return (await tunnelEntries(host))
    .filter(({ mac, dst, flags }) => mac === wanted && dst !== undefined && flags.includes('extern_learn'))
    .map(({ dst }) => dst);
}
