// invariants.ts: the conditions that hold after each action of the cluster's soak.
import assert from 'node:assert/strict';
import { execa } from 'execa';
import type { NetworkStatus } from '../../../src/report/status.ts';
import { at, network, resolve, until } from '../../cluster/shared-hosts.ts';
import { run, within } from '../../sandbox/host.ts';
import { client, isConnected, living, reachesHost, type World } from './world.ts';

/** The time limit of repairs, and of a machine's boot: QEMU emulates its processor. */
const repairTimeoutSeconds = 60;

/** The time limit until all hosts that can talk to etcd know of a change: up to 10 s until a host tries etcd again. */
const agreementTimeoutSeconds = 90;

/** Checks all invariants. Throws an AssertionError for the first that does not hold. */
export async function checkInvariants(world: World): Promise<void> {
  await checkConnections(world);
  await checkIdentities(world);
  await checkNames(world);
  await checkReach(world);
  await checkLogs(world);
  for (const index of living(world))
    await eventually(`host ${index} differs from its plan`, repairTimeoutSeconds, async () => {
      const { exitCode, stdout, stderr } = await at(index).virlan('plan');
      return exitCode === 0 ? null : `${stdout}${stderr}`;
    });
  for (const machine of world.machines.values()) machine.isShared ||= isConnected(world, machine.host);
}

/** Waits until a condition has no fault, and fails with the last one. */
async function eventually(
  name: string,
  timeoutSeconds: number,
  faultOf: () => Promise<string | null>,
): Promise<void> {
  let fault: string | null = null;
  await until(async () => {
    fault = await faultOf();
    return fault === null;
  }, timeoutSeconds).catch((error: Error) => {
    throw fault === null ? error : new assert.AssertionError({ message: `${name}: ${fault}` });
  });
}

/** No watcher has met an error that it did not expect. */
async function checkLogs(world: World): Promise<void> {
  for (const index of living(world))
    assert.equal(await at(index).run('sh', '-c', 'grep \'"code":"failed"\' /var/log/virlan.log || true'), '');
}

/** Each host says itself whether it can talk to etcd. */
async function checkConnections(world: World): Promise<void> {
  for (const index of living(world))
    await eventually(`etcd of host ${index}`, agreementTimeoutSeconds, async () => {
      const connected = (await network(at(index))).shared?.etcd?.connected ?? false;
      return connected === isConnected(world, index) ? null : `connected: ${connected}`;
    });
}

/** No machine's address or MAC changes, no two have one, and hosts with a connection agree where each machine is. */
async function checkIdentities(world: World): Promise<void> {
  await eventually('machines', agreementTimeoutSeconds, async () => {
    const statuses = await Promise.all(
      living(world).map(async index => [index, await network(at(index))] as const),
    );
    return identityFault(world, statuses);
  });
}

function identityFault(
  world: World,
  statuses: readonly (readonly [index: number, status: NetworkStatus])[],
): string | null {
  const holders = new Map<string, string>();
  for (const [index, status] of statuses)
    for (const { uuid, name, ip, state } of status.machines) {
      if (ip === null || state === 'undefined') continue;
      const other = holders.get(ip);
      // Never true, not even for a moment.
      assert(
        other === undefined || other === uuid,
        `${ip} belongs to two machines, one of them ${name} on host ${index}`,
      );
      holders.set(ip, uuid);
    }
  for (const [name, { uuid, host, running, identity }] of world.machines)
    for (const [index, status] of statuses) {
      const here = status.machines.find(each => each.uuid === uuid);
      const remote = status.shared?.machines.find(each => each.uuid === uuid);
      if (index === host) {
        if (here?.state !== (running ? 'running' : 'shut off'))
          return `${name} is ${here?.state} on host ${index}`;
        if (here.problem !== null) return `${name} on host ${index}: ${here.problem}`;
        const { ip, mac } = here;
        if (ip !== identity?.ip || mac !== identity.mac)
          return `${name} on host ${index} has ${ip} and ${mac}, not ${identity?.ip} and ${identity?.mac}`;
      } else if (isConnected(world, index) && isConnected(world, host)) {
        if (remote?.host !== at(host).address)
          return `for host ${index}, ${name} is on ${remote?.host ?? 'none'}, not host ${host}`;
        if (remote.ip !== identity?.ip) return `for host ${index}, ${name} has ${remote.ip}`;
      }
    }
  return null;
}

/** The DNS of each host answers for the machines of all hosts that it knows. */
async function checkNames(world: World): Promise<void> {
  for (const [name, { host, identity }] of world.machines)
    for (const index of living(world)) {
      if (index !== host && !(isConnected(world, index) && isConnected(world, host))) continue;
      await eventually(`${name} at the DNS of host ${index}`, repairTimeoutSeconds, async () => {
        const answer = await resolve(at(index), name);
        return answer === identity?.ip ? null : answer;
      });
    }
}

/** Each running machine answers on each host that has a way to its own. */
async function checkReach(world: World): Promise<void> {
  const pairs = [...world.machines].flatMap(([name, { host, running, identity }]) =>
    running && identity !== null
      ? living(world)
          .filter(index => reachesHost(world, index, host))
          .map(index => ({ name, host, index, ip: identity.ip }))
      : [],
  );
  for (const { name, host, index, ip } of pairs)
    await eventually(`${name} of host ${host} from host ${index}`, repairTimeoutSeconds, async () => {
      const ping = within(client(index), 'ping', ['-c', '1', '-W', '1', ip]);
      const { exitCode, stdout } = await execa(...ping, { reject: false });
      if (exitCode === 0) return null;
      return `${stdout}\n${await run(client(index), 'ip', 'neigh', 'show')}`;
    });
}
