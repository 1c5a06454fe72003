// actions.ts: the random actions of the cluster's soak: machines, movements, and faults of hosts, links and etcd.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { cutOff, joinAgain, killMember, startMember } from '../../cluster/etcd.ts';
import {
  at,
  define,
  elsewhere,
  linuxXml,
  machine,
  network,
  until,
  virsh,
  writeXml,
} from '../../cluster/shared-hosts.ts';
import { lan } from '../../sandbox/cluster-hosts.ts';
import { degradeLink } from '../../sandbox/degraded-link.ts';
import type { Action } from '../soak.ts';
import {
  bridge,
  hasQuorum,
  indices,
  initrd,
  isConnected,
  type Machine,
  putClientBack,
  size,
  type World,
} from './world.ts';

/** Each running machine takes 192 MiB. */
const maxMachines = 5;

type Named = readonly [name: string, machine: Machine];

function those(world: World, isWanted: (machine: Machine) => boolean): Named[] {
  return [...world.machines].filter(([, each]) => isWanted(each));
}

/** Returns the machines that a host with a connection to etcd has, in a state. */
function movable(world: World, running: boolean): Named[] {
  return those(world, each => each.running === running && isConnected(world, each.host));
}

/** Returns the hosts that are connected to etcd, other than one. */
function destinations(world: World, from: number): number[] {
  return indices.filter(index => index !== from && isConnected(world, index));
}

function xmlOf(name: string, uuid: string): string {
  return linuxXml({ name, uuid, nics: [{ type: 'bridge', source: bridge }] }, initrd, 192);
}

/** Returns those of some hosts that can send or take a machine's memory within a minute. */
function withGoodLink({ degraded }: World, hosts: readonly number[]): number[] {
  return hosts.filter(index => !degraded.has(index));
}

/** Returns the machines that can migrate now, each with the hosts that it can migrate to. */
function migrations(world: World): (readonly [...Named, to: readonly number[]])[] {
  return movable(world, true)
    .map(([name, each]) => [name, each, withGoodLink(world, destinations(world, each.host))] as const)
    .filter(([, { host }, to]) => withGoodLink(world, [host]).length > 0 && to.length > 0);
}

const machineActions: Action<World>[] = [
  {
    name: 'define',
    weight: 4,
    isPossible: ({ machines }) => machines.size < maxMachines,
    async act(world) {
      world.count++;
      const name = `soak${world.count}`;
      const host = world.random.below(size);
      const uuid = randomUUID();
      const { ip, mac } = await define(at(host), name, xmlOf(name, uuid));
      assert(ip, `${name} has no address`);
      world.machines.set(name, { uuid, host, running: false, identity: { ip, mac } });
      return `${name} on host ${host}, ${ip}`;
    },
  },
  {
    name: 'start',
    weight: 5,
    isPossible: world => those(world, each => !each.running).length > 0,
    async act(world) {
      const [name, each] = world.random.pick(those(world, one => !one.running));
      await virsh(at(each.host), 'start', name);
      each.running = true;
      return `${name} on host ${each.host}`;
    },
  },
  {
    name: 'stop',
    weight: 2,
    isPossible: world => those(world, each => each.running).length > 0,
    async act(world) {
      const [name, each] = world.random.pick(those(world, one => one.running));
      await virsh(at(each.host), 'destroy', name);
      each.running = false;
      return `${name} on host ${each.host}`;
    },
  },
  {
    name: 'undefine',
    weight: 3,
    isPossible: world => those(world, each => !each.running).length > 0,
    async act(world) {
      const [name, each] = world.random.pick(those(world, one => !one.running));
      await virsh(at(each.host), 'undefine', name);
      world.machines.delete(name);
      return `${name} on host ${each.host}`;
    },
  },
  {
    name: 'move while it is off',
    weight: 3,
    isPossible: world => movable(world, false).some(([, { host }]) => destinations(world, host).length > 0),
    async act(world) {
      const [name, each] = world.random.pick(
        movable(world, false).filter(([, { host }]) => destinations(world, host).length > 0),
      );
      const from = each.host;
      const to = world.random.pick(destinations(world, from));
      await until(async () => (await elsewhere(at(to), name))?.host === at(from).address);
      const definition = await virsh(at(from), 'dumpxml', '--inactive', name);
      await virsh(at(from), 'undefine', name);
      await virsh(at(to), 'define', await writeXml(at(to), name, definition));
      each.host = to;
      await until(async () => (await machine(at(to), name))?.state === 'shut off');
      return `${name} from host ${from} to ${to}`;
    },
  },
  {
    name: 'migrate',
    weight: 4,
    isPossible: world => migrations(world).length > 0,
    async act(world) {
      const [name, each, hosts] = world.random.pick(migrations(world));
      const from = each.host;
      const to = world.random.pick(hosts);
      await until(async () => (await elsewhere(at(to), name))?.host === at(from).address);
      const { address } = at(to);
      const options = ['--live', '--p2p', '--persistent', '--undefinesource'];
      const uris = [`qemu+tcp://${address}/system`, '--migrateuri', `tcp://${address}`];
      await virsh(at(from), 'migrate', ...options, name, ...uris);
      each.host = to;
      return `${name} from host ${from} to ${to}`;
    },
  },
];

const etcdActions: Action<World>[] = [
  {
    name: 'kill a member of etcd',
    weight: 2,
    isPossible: ({ deadMembers }) => deadMembers.size < size,
    async act({ deadMembers, random }) {
      const member = random.pick(indices.filter(index => !deadMembers.has(index)));
      await killMember(member);
      deadMembers.add(member);
      return `${member}, ${size - deadMembers.size} left`;
    },
  },
  {
    name: 'start a member of etcd again',
    weight: 5,
    isPossible: ({ deadMembers }) => deadMembers.size > 0,
    async act({ deadMembers, random }) {
      const member = random.pick([...deadMembers].sort());
      startMember(member);
      deadMembers.delete(member);
      return `${member}`;
    },
  },
  {
    name: 'cut a host off from etcd',
    weight: 1,
    isPossible: world => indices.some(index => isConnected(world, index)),
    async act(world) {
      const index = world.random.pick(indices.filter(each => isConnected(world, each)));
      await cutOff(at(index));
      world.cutOff.add(index);
      return `host ${index}`;
    },
  },
  {
    name: 'let a host reach etcd again',
    weight: 4,
    isPossible: world => world.cutOff.size > 0,
    async act(world) {
      const index = world.random.pick([...world.cutOff].sort());
      await joinAgain(at(index));
      world.cutOff.delete(index);
      return `host ${index}`;
    },
  },
  {
    name: 'cut a host off from the others',
    weight: 1,
    isPossible: ({ partitioned }) => partitioned.size < size,
    async act({ partitioned, random }) {
      const index = random.pick(indices.filter(each => !partitioned.has(each)));
      await at(index).run('ip', 'link', 'set', lan, 'down');
      partitioned.add(index);
      return `host ${index}`;
    },
  },
  {
    name: 'let a host reach the others again',
    weight: 5,
    isPossible: ({ partitioned }) => partitioned.size > 0,
    async act({ partitioned, random }) {
      const index = random.pick([...partitioned].sort());
      await at(index).run('ip', 'link', 'set', lan, 'up');
      partitioned.delete(index);
      return `host ${index}`;
    },
  },
  {
    name: 'make the link of a host slow and lossy',
    weight: 1,
    isPossible: ({ degraded }) => degraded.size < size,
    async act({ degraded, random }) {
      const index = random.pick(indices.filter(each => !degraded.has(each)));
      const degradation = { delayMs: 20 + random.below(130), lossPercent: 1 + random.below(15), seed: index };
      degraded.set(index, await degradeLink(at(index), degradation));
      return `host ${index}, ${degradation.delayMs} ms, ${degradation.lossPercent} %`;
    },
  },
  {
    name: 'make the link of a host good again',
    weight: 4,
    isPossible: ({ degraded }) => degraded.size > 0,
    async act({ degraded, random }) {
      const [index, restore] = random.pick([...degraded].sort(([a], [b]) => a - b));
      await restore();
      degraded.delete(index);
      return `host ${index}`;
    },
  },
];

/** Damages to the network of a host. */
const damages: readonly (readonly [name: string, inflict: (index: number) => Promise<unknown>])[] = [
  [
    "delete virlan's table of the tunnel",
    index => at(index).run('nft', 'delete', 'table', 'bridge', `virlan-tunnel-${bridge}`),
  ],
  ['delete the tunnel', index => at(index).run('ip', 'link', 'delete', `${bridge}-vx`)],
  [
    'send nothing more to another host',
    index =>
      at(index).run(
        ...['bridge', 'fdb', 'del', '00:00:00:00:00:00', 'dev', `${bridge}-vx`],
        ...['dst', at((index + 1) % size).address, 'self'],
      ),
  ],
  ['kill dnsmasq', index => at(index).run('sh', '-c', `kill -9 "$(cat /run/dnsmasq/${bridge}.pid)"`)],
  ['empty the hostsfile', index => at(index).run('sh', '-c', `: > /var/lib/dnsmasq/${bridge}/hostsfile`)],
  [
    'delete the bridge',
    async index => {
      await at(index).run('ip', 'link', 'delete', bridge);
      await until(async () => (await at(index).run('sh', '-c', `ip link show ${bridge} || true`)) !== '');
      await putClientBack(index);
    },
  ],
];

async function restartWatcher(world: World, index: number, signal: 'TERM' | 'KILL'): Promise<void> {
  await at(index).endWatch(signal);
  world.damages.delete(index);
  await at(index).watch();
}

const hostActions: Action<World>[] = [
  {
    name: 'restart a watcher',
    weight: 2,
    isPossible: () => true,
    async act(world) {
      const index = world.random.below(size);
      const signal = world.random.pick(['TERM', 'KILL'] as const);
      await restartWatcher(world, index, signal);
      return `host ${index}, SIG${signal}`;
    },
  },
  {
    name: 'restart all watchers',
    weight: 1,
    isPossible: () => true,
    async act(world) {
      for (const index of indices) await at(index).endWatch('TERM');
      world.damages.clear();
      for (const index of indices) await at(index).watch();
      return '';
    },
  },
  ...damages.map(
    ([name, inflict]): Action<World> => ({
      name,
      weight: 1,
      isPossible: () => true,
      async act(world) {
        const index = world.random.below(size);
        const count = world.damages.get(index) ?? 0;
        // The watcher pauses after a third repair of a unit within a minute; a new one starts to count at zero.
        if (count === 2) await restartWatcher(world, index, 'TERM');
        await inflict(index);
        world.damages.set(index, (world.damages.get(index) ?? 0) + 1);
        return `host ${index}`;
      },
    }),
  ),
];

export const actions: readonly Action<World>[] = [...machineActions, ...etcdActions, ...hostActions];

/** Ends all faults that last, so that what is left at the end can be compared. */
export async function endFaults(world: World): Promise<void> {
  for (const member of world.deadMembers) startMember(member);
  for (const index of world.cutOff) await joinAgain(at(index));
  for (const index of world.partitioned) await at(index).run('ip', 'link', 'set', lan, 'up');
  for (const restore of world.degraded.values()) await restore();
  for (const faults of [world.deadMembers, world.cutOff, world.partitioned, world.degraded]) faults.clear();
  assert(hasQuorum(world));
  for (const index of indices)
    await until(async () => (await network(at(index))).shared?.etcd?.connected === true);
}
