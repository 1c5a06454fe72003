// subject.ts: the soak of a cluster that shares its ledger by etcd.
import assert from 'node:assert/strict';
import { keysBelow } from '../../cluster/etcd.ts';
import { at, hosts, until, virsh } from '../../cluster/shared-hosts.ts';
import { traces } from '../../sandbox/cluster-hosts.ts';
import type { Subject } from '../soak.ts';
import { actions, endFaults } from './actions.ts';
import { checkInvariants } from './invariants.ts';
import { living, makeWorld, type World } from './world.ts';

export const cluster: Subject<World> = {
  makeWorld,
  actions,
  async check(world) {
    await checkInvariants(world);
    return '';
  },
  end,
  report: stateReport,
};

/** After all faults have ended, hosts that leave take their part of etcd along, and `virlan down` leaves nothing. */
async function end(world: World): Promise<void> {
  await endFaults(world);
  await checkInvariants(world);
  for (const [name, { host, running, leftOn }] of world.machines) {
    if (running) await virsh(at(host), 'destroy', name);
    for (const index of leftOn === null ? [host] : [leftOn, host]) await virsh(at(index), 'undefine', name);
  }
  for (const [index, host] of hosts.entries()) {
    await host.configure('[network.k8s-br0]\n');
    await until(async () =>
      [...(await keysBelow('/virlan/100/')).keys()].every(key => !key.endsWith(`/${host.address}`)),
    );
    await host.endWatch('TERM');
    const { exitCode, stderr } = await host.virlan('down');
    assert.equal(exitCode, 0, stderr);
    assert.equal(await traces(host), world.before[index]);
  }
}

/** Returns the status of each host and the last lines of its log. */
async function stateReport(world: World): Promise<string> {
  const { deadMembers, cutOff, partitioned, dead, degraded } = world;
  const list = (numbers: Iterable<number>) => `[${[...numbers].join()}]`;
  const faults = [
    `dead members ${list(deadMembers)}`,
    `cut off ${list(cutOff)}`,
    `partitioned ${list(partitioned)}`,
    `dead ${list(dead)}`,
    `degraded ${list(degraded.keys())}`,
  ].join(', ');
  const states = await Promise.all(
    living(world).map(async index => {
      const host = at(index);
      const { stdout, stderr } = await host.virlan('status');
      const log = await host.run('tail', '-n', '25', '/var/log/virlan.log').catch(() => '');
      return [`--- ${host.name}`, stdout, stderr, log].join('\n');
    }),
  );
  return [faults, ...states].join('\n');
}
