// actions.ts: the random actions of the cluster's soak: machines, movements, and faults of hosts, links and etcd.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { execa } from 'execa';
import { cutOff, joinAgain, killMember, partOf, sharedIni, startMember } from '../../cluster/etcd.ts';
import {
  at,
  define,
  elsewhere,
  hosts,
  joinCluster,
  linuxXml,
  machine,
  network,
  until,
  virsh,
  writeXml,
} from '../../cluster/shared-hosts.ts';
import { ClusterHost, lan, traces } from '../../sandbox/cluster-hosts.ts';
import { degradeLink } from '../../sandbox/degraded-link.ts';
import type { Action } from '../soak.ts';
import {
  bridge,
  client,
  equip,
  hasQuorum,
  indices,
  initrd,
  isConnected,
  living,
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
  return those(
    world,
    each => each.running === running && each.leftOn === null && isConnected(world, each.host),
  );
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

/** Returns the hosts whose link to the others is up. */
function withLink(world: World): number[] {
  return living(world).filter(index => !world.partitioned.has(index));
}

/** Returns the machines that can migrate now, each with the hosts that it can migrate to. */
function migrations(world: World): (readonly [...Named, to: readonly number[]])[] {
  return movable(world, true)
    .map(([name, each]) => [name, each, withGoodLink(world, destinations(world, each.host))] as const)
    .filter(([, { host }, to]) => withGoodLink(world, [host]).length > 0 && to.length > 0);
}

function isRemovable({ running, leftOn }: Machine): boolean {
  return !running && leftOn === null;
}

/** Returns the machines that can be started elsewhere in the place of a host that is cut off. */
function stranded(world: World): Named[] {
  const isAway = (index: number) => !world.dead.has(index) && !isConnected(world, index);
  return those(
    world,
    each =>
      each.isShared && each.leftOn === null && isAway(each.host) && destinations(world, each.host).length > 0,
  );
}

/** Defines a machine on another host with the same XML, and starts it there. */
async function startElsewhere([name, each]: Named, xml: string, to: number): Promise<void> {
  await until(async () => (await elsewhere(at(to), name))?.host === at(each.host).address);
  await virsh(at(to), 'define', await writeXml(at(to), name, xml));
  await virsh(at(to), 'start', name);
  each.host = to;
  each.running = true;
}

/** Returns the machines that are defined on a second host, which has heard that they run elsewhere. */
function leftBehind(world: World): (readonly [...Named, on: number])[] {
  return [...world.machines].flatMap(([name, each]) => {
    const { leftOn, host } = each;
    const isKnown = leftOn !== null && isConnected(world, leftOn) && isConnected(world, host);
    return isKnown ? [[name, each, leftOn] as const] : [];
  });
}

const machineActions: Action<World>[] = [
  {
    name: 'define',
    weight: 4,
    isPossible: ({ machines }) => machines.size < maxMachines,
    async act(world) {
      world.count++;
      const name = `soak${world.count}`;
      const host = world.random.pick(living(world));
      const uuid = randomUUID();
      const { ip, mac } = await define(at(host), name, xmlOf(name, uuid));
      assert(ip, `${name} has no address`);
      world.machines.set(name, {
        uuid,
        host,
        running: false,
        leftOn: null,
        isShared: false,
        identity: { ip, mac },
      });
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
    isPossible: world => those(world, isRemovable).length > 0,
    async act(world) {
      const [name, each] = world.random.pick(those(world, isRemovable));
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
  {
    name: 'start a machine of a host that is cut off elsewhere',
    weight: 8,
    isPossible: world => stranded(world).length > 0,
    async act(world) {
      const named = world.random.pick(stranded(world));
      const [name, each] = named;
      const from = each.host;
      const to = world.random.pick(destinations(world, from));
      const definition = await virsh(at(from), 'dumpxml', '--inactive', name);
      // Two guests with one address would answer for each other.
      if (each.running) await virsh(at(from), 'destroy', name);
      await startElsewhere(named, definition, to);
      each.leftOn = from;
      return `${name} from host ${from} to ${to}`;
    },
  },
  {
    name: 'undefine what is left of a machine that was started elsewhere',
    weight: 6,
    isPossible: world => leftBehind(world).length > 0,
    async act(world) {
      const [name, each, from] = world.random.pick(leftBehind(world));
      await virsh(at(from), 'undefine', name);
      each.leftOn = null;
      return `${name} on host ${from}`;
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
    isPossible: world => withLink(world).length > 0,
    async act(world) {
      const { partitioned, random } = world;
      const index = random.pick(withLink(world));
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
    isPossible: world => withGoodLink(world, living(world)).length > 0,
    async act(world) {
      const { degraded, random } = world;
      const index = random.pick(withGoodLink(world, living(world)));
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
const damages: readonly (readonly [
  name: string,
  inflict: (index: number, world: World) => Promise<unknown>,
])[] = [
  [
    "delete virlan's table of the tunnel",
    index => at(index).run('nft', 'delete', 'table', 'bridge', `virlan-tunnel-${bridge}`),
  ],
  ['delete the tunnel', index => at(index).run('ip', 'link', 'delete', `${bridge}-vx`)],
  [
    'send nothing more to another host',
    (index, world) =>
      at(index).run(
        ...['bridge', 'fdb', 'del', '00:00:00:00:00:00', 'dev', `${bridge}-vx`],
        ...['dst', at(living(world).find(each => each !== index) ?? index).address, 'self'],
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

/** Removes a dead host from etcd, and starts another one with its address. */
async function replaceDead(world: World): Promise<string> {
  const index = world.random.pick([...world.dead].sort());
  const { name, address } = at(index);
  const on = world.random.pick(survivors(world));
  // It is refused until the lease of the dead host has ended.
  await until(async () => (await at(on).virlan('expel', address)).exitCode === 0).catch(async () =>
    assert.fail((await at(on).virlan('expel', address)).stderr),
  );
  // Its machines keep their reservations: one that was undefined, too.
  const isMachine = ([key]: readonly [key: string, value: string]) => key.includes('/machine/');
  assert.deepEqual(
    (await partOf({ address })).filter(part => !isMachine(part)),
    [],
  );
  const host = await ClusterHost.start(name, address);
  hosts[index] = host;
  world.before[index] = await traces(host);
  await joinCluster(host, sharedIni(index));
  await equip(index);
  world.dead.delete(index);
  return `host ${index}, expelled on host ${on}`;
}

async function restartWatcher(world: World, index: number, signal: 'TERM' | 'KILL'): Promise<void> {
  await at(index).endWatch(signal);
  world.damages.delete(index);
  await at(index).watch();
}

/** Returns the hosts that can die: another one is to be there for their machines. */
function mortal(world: World): number[] {
  const isGood = (index: number) => withGoodLink(world, [index]).length > 0;
  return living(world).filter(index => isGood(index) && destinations(world, index).length > 0);
}

/** Returns the hosts on which a command can remove a dead one from etcd. */
function survivors(world: World): number[] {
  return living(world).filter(index => isConnected(world, index));
}

const hostActions: Action<World>[] = [
  {
    name: 'let a host die for good',
    weight: 2,
    isPossible: world => world.dead.size === 0 && mortal(world).length > 0,
    async act(world) {
      const index = world.random.pick(mortal(world));
      const own = those(world, each => each.host === index);
      const definitions = new Map<string, string>();
      for (const [name] of own) definitions.set(name, await virsh(at(index), 'dumpxml', '--inactive', name));
      for (const { host, leftOn } of world.machines.values()) assert(host !== leftOn);
      await at(index).stop();
      // Deletes the namespaces, too: one that has a name would go on forwarding.
      for (const name of [at(index).name, client(index).name]) await execa('ip', ['netns', 'delete', name]);
      world.dead.add(index);
      for (const faults of [world.cutOff, world.partitioned, world.damages]) faults.delete(index);
      for (const [, each] of those(world, ({ leftOn }) => leftOn === index)) each.leftOn = null;
      const moved: string[] = [];
      for (const named of own) {
        const [name, each] = named;
        // Nobody else has ever heard of it, or it is defined on another host, too.
        if (!each.isShared || each.leftOn !== null) {
          if (each.leftOn !== null) await virsh(at(each.leftOn), 'undefine', name);
          world.machines.delete(name);
          continue;
        }
        await startElsewhere(
          named,
          definitions.get(name) ?? '',
          world.random.pick(destinations(world, index)),
        );
        moved.push(`${name} to host ${each.host}`);
      }
      return [`host ${index}`, ...moved].join(', ');
    },
  },
  {
    name: 'let a new host take the place of a dead one',
    weight: 4,
    isPossible: world => world.dead.size > 0 && survivors(world).length > 0,
    act: world => replaceDead(world),
  },
  {
    name: 'restart a watcher',
    weight: 2,
    isPossible: () => true,
    async act(world) {
      const index = world.random.pick(living(world));
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
      for (const index of living(world)) await at(index).endWatch('TERM');
      world.damages.clear();
      for (const index of living(world)) await at(index).watch();
      return '';
    },
  },
  ...damages.map(
    ([name, inflict]): Action<World> => ({
      name,
      weight: 1,
      isPossible: () => true,
      async act(world) {
        const index = world.random.pick(living(world));
        const count = world.damages.get(index) ?? 0;
        // The watcher pauses after a third repair of a unit within a minute; a new one starts to count at zero.
        if (count === 2) await restartWatcher(world, index, 'TERM');
        await inflict(index, world);
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
  for (const index of living(world))
    await until(async () => (await network(at(index))).shared?.etcd?.connected === true);
  while (world.dead.size > 0) await replaceDead(world);
  for (const index of indices)
    await until(async () => (await network(at(index))).shared?.etcd?.connected === true);
}
