// actions.ts: the random actions of the soak: changes of machines, restarts of daemons, damages to the
// network.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import {
  configure,
  define,
  destroyMachine,
  domainXml,
  killLibvirtd,
  leaseOf,
  macsOf,
  restartLibvirtd,
  startLibvirtd,
  startMachine,
  undefine,
  virsh,
} from '../../sandbox/host.ts';
import { until } from '../../sandbox/until.ts';
import { idle } from '../../sandbox/watcher.ts';
import type { Action } from '../soak.ts';
import { bridge, configuration, restartWatcher, type World } from './world.ts';

/** Each running machine takes 64 MiB. */
const maxMachines = 6;

function machineNames({ machines }: World, running: boolean) {
  return [...machines].filter(([, machine]) => machine.running === running).map(([name]) => name);
}

function hasStopped(world: World) {
  return machineNames(world, false).length > 0;
}

function hasRunning(world: World) {
  return machineNames(world, true).length > 0;
}

function nextNumber(world: World): number {
  world.count++;
  return world.count;
}

function machineOf(world: World, name: string) {
  const machine = world.machines.get(name);
  if (machine === undefined) throw new Error(`unknown machine ${name}`);
  return machine;
}

const machineActions: Action<World>[] = [
  {
    name: 'define',
    weight: 4,
    isPossible: ({ machines }) => machines.size < maxMachines,
    async act(world) {
      const name = `soak${nextNumber(world)}`;
      const xml = domainXml({ name, nics: [{ type: 'bridge', source: bridge }] });
      await define(xml.replace('<devices>', '<features><acpi/></features><devices>'));
      await idle(name);
      world.machines.set(name, { running: false, nics: 1, leased: null });
      return name;
    },
  },
  {
    name: 'start paused',
    weight: 4,
    isPossible: hasStopped,
    async act(world) {
      const name = world.random.pick(machineNames(world, false));
      await virsh('start', '--paused', '--domain', name);
      machineOf(world, name).running = true;
      return name;
    },
  },
  {
    name: 'start and wait for its lease',
    weight: 2,
    isPossible: hasStopped,
    async act(world) {
      const name = world.random.pick(machineNames(world, false));
      await startMachine(name);
      machineOf(world, name).running = true;
      const [mac = ''] = await macsOf(name);
      const { ip } = await leaseOf(mac, 60);
      machineOf(world, name).leased = ip;
      return `${name}, ${ip}`;
    },
  },
  {
    name: 'stop',
    weight: 3,
    isPossible: hasRunning,
    async act(world) {
      const name = world.random.pick(machineNames(world, true));
      await destroyMachine(name);
      world.machines.set(name, { running: false, nics: 1, leased: null });
      return name;
    },
  },
  {
    name: 'rename',
    weight: 2,
    isPossible: hasStopped,
    async act(world) {
      const name = world.random.pick(machineNames(world, false));
      const other = `renamed${nextNumber(world)}`;
      await virsh('domrename', name, other);
      await idle(other);
      world.machines.set(other, machineOf(world, name));
      world.machines.delete(name);
      return `${name} to ${other}`;
    },
  },
  {
    name: 'undefine',
    weight: 1,
    isPossible: hasStopped,
    async act(world) {
      const name = world.random.pick(machineNames(world, false));
      await undefine(name);
      world.machines.delete(name);
      return name;
    },
  },
  {
    name: 'attach a NIC',
    weight: 2,
    isPossible: world => [...world.machines.values()].some(({ running, nics }) => running && nics < 3),
    async act(world) {
      const candidates = machineNames(world, true).filter(name => machineOf(world, name).nics < 3);
      const name = world.random.pick(candidates);
      const number = nextNumber(world);
      const mac = `52:54:00:dd:${[8, 0].map(shift => ((number >> shift) & 255).toString(16).padStart(2, '0')).join(':')}`;
      await virsh('attach-interface', name, 'bridge', bridge, '--mac', mac, '--model', 'virtio', '--live');
      machineOf(world, name).nics++;
      await idle(name);
      return `${name}, ${mac}`;
    },
  },
];

const daemonActions: Action<World>[] = [
  {
    name: 'kill the watcher',
    weight: 1,
    isPossible: () => true,
    async act(world) {
      await restartWatcher(world, 'SIGKILL');
      return '';
    },
  },
  {
    name: 'kill libvirtd',
    weight: 1,
    isPossible: () => true,
    async act() {
      await killLibvirtd();
      await startLibvirtd();
      return '';
    },
  },
  {
    name: 'restart libvirtd',
    weight: 1,
    isPossible: () => true,
    async act() {
      await restartLibvirtd();
      return '';
    },
  },
  {
    name: 'reload libvirtd',
    weight: 1,
    isPossible: () => true,
    async act() {
      process.kill(Number(readFileSync('/run/libvirtd.pid', 'utf8')), 'SIGHUP');
      await virsh('version');
      return '';
    },
  },
  {
    name: 'edit virlan.ini',
    weight: 1,
    isPossible: () => true,
    async act(world) {
      world.opensPort = !world.opensPort;
      await configure(configuration(world.opensPort));
      await until(async () => (await listTable()).includes('5000') === world.opensPort, 5);
      return world.opensPort ? 'opens a port' : 'closes a port';
    },
  },
];

async function listTable(): Promise<string> {
  return (await execa('nft', ['list', 'table', 'ip', `virlan-${bridge}`], { reject: false })).stdout;
}

/** Damages, each with the unit that the watcher repairs. */
const damages: [unit: string, name: string, inflict: (world: World) => Promise<unknown>][] = [
  ['rules', 'nft flush ruleset', () => execa('nft', ['flush', 'ruleset'])],
  ['rules', 'delete the table', () => execa('nft', ['delete', 'table', 'ip', `virlan-${bridge}`])],
  ['address', 'remove the address', () => execa('ip', ['address', 'flush', 'dev', bridge])],
  ['route', 'delete the route', () => execa('ip', ['route', 'flush', 'dev', bridge, 'proto', 'kernel'])],
  ['forwarding', 'disable forwarding', async () => writeFileSync('/proc/sys/net/ipv4/ip_forward', '0')],
  [
    'dnsmasq',
    'kill dnsmasq',
    async () => process.kill(Number(readFileSync(`/run/dnsmasq/${bridge}.pid`, 'utf8')), 'SIGKILL'),
  ],
  [
    'dnsmasq',
    "delete dnsmasq's configuration",
    async () => rmSync(`/var/lib/dnsmasq/${bridge}/dnsmasq.conf`),
  ],
  ['hostsfile', 'empty the hostsfile', async () => writeFileSync(`/var/lib/dnsmasq/${bridge}/hostsfile`, '')],
  [
    'bridge',
    'delete the bridge',
    async ({ web }) => {
      await execa('ip', ['link', 'delete', bridge]);
      await until(
        async () => (await execa('ip', ['link', 'show', bridge], { reject: false })).exitCode === 0,
      );
      // virlan restores only taps of machines as ports, not this one.
      await execa('ip', ['link', 'set', web.port, 'master', bridge]);
    },
  ],
];

const damageActions: Action<World>[] = damages.map(([unit, name, inflict]) => ({
  name,
  weight: 1,
  isPossible: () => true,
  async act(world) {
    const count = world.damages.get(unit) ?? 0;
    // The watcher pauses after a third repair within a minute; a new one starts to count at zero.
    if (count === 2) await restartWatcher(world, 'SIGTERM');
    await inflict(world);
    world.damages.set(unit, (world.damages.get(unit) ?? 0) + 1);
    return '';
  },
}));

export const actions: readonly Action<World>[] = [...machineActions, ...daemonActions, ...damageActions];
