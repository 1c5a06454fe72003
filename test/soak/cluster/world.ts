// world.ts: three hosts with one network and one ledger in etcd, and what the soak has done to them.
import { mkdirSync } from 'node:fs';
import { execa } from 'execa';
import { startEtcd } from '../../cluster/etcd.ts';
import { at, startHosts, startLibvirtd } from '../../cluster/shared-hosts.ts';
import { makeUnderlay, traces } from '../../sandbox/cluster-hosts.ts';
import { installVirlan, type Namespace } from '../../sandbox/host.ts';
import { makeInitramfs, networkModules } from '../../sandbox/initramfs.ts';
import { checkout } from '../../sandbox/virlan.ts';
import { Random } from '../random.ts';

export const bridge = 'k8s-br0';

/** All hosts see it: a machine has one path of its initial RAM disk everywhere. */
export const initrd = '/srv/soak/initrd';

/** Number of hosts, and of members of etcd. */
export const size = 3;

export const indices: readonly number[] = Array.from({ length: size }, (_, index) => index);

/** A machine as the soak has changed it: a Linux guest that has one NIC. */
export interface Machine {
  readonly uuid: string;
  /** The host that it is defined on. */
  host: number;
  running: boolean;
  /** A host that it is defined on, too: it was started elsewhere while that host was cut off. */
  leftOn: number | null;
  /** True once the other hosts can know it. */
  isShared: boolean;
  /** Its address and MAC since it was defined. */
  identity: { readonly ip: string; readonly mac: string } | null;
}

/** The state of the soak. */
export interface World {
  readonly random: Random;
  readonly machines: Map<string, Machine>;
  /** The members of etcd that do not run. */
  readonly deadMembers: Set<number>;
  /** Hosts that reach no member of etcd, but each other. */
  readonly cutOff: Set<number>;
  /** Hosts whose link to the others is down. */
  readonly partitioned: Set<number>;
  /** Hosts that have died for good, until new ones take their places. */
  readonly dead: Set<number>;
  /** Hosts whose link to the others is slow and loses frames, each with the function that restores it. */
  readonly degraded: Map<number, () => Promise<void>>;
  /** Damages of each host since its watcher started. It pauses after the third to one unit. */
  readonly damages: Map<number, number>;
  /** Number of machines so far, for unique names. */
  count: number;
  /** Lists the links and rules that each host had before virlan. */
  readonly before: string[];
}

/** A namespace on the network of a host, with an address that no machine gets. */
export function client(index: number): Namespace & { readonly name: string; readonly ip: string } {
  return { name: `client${index}`, ip: `192.168.100.${2 + index}` };
}

/** Starts etcd and the hosts with libvirtd, a watcher and a client each. */
export async function makeWorld(seed: number): Promise<World> {
  await installVirlan();
  mkdirSync('/srv/soak', { recursive: true });
  await makeInitramfs(initrd, {
    files: {
      '/init': `${checkout}/test/soak/cluster/guest.sh`,
      '/start.sh': `${checkout}/test/sandbox/guest-start.sh`,
      '/dhcp.sh': `${checkout}/test/sandbox/cloud-init-dhcp.sh`,
    },
    modules: networkModules,
  });
  await makeUnderlay();
  await startEtcd();
  const before: string[] = [];
  await startHosts(async host => void before.push(await traces(host)));
  for (const index of indices) await equip(index);
  return {
    random: new Random(seed),
    machines: new Map(),
    deadMembers: new Set(),
    cutOff: new Set(),
    partitioned: new Set(),
    dead: new Set(),
    degraded: new Map(),
    damages: new Map(),
    count: 0,
    before,
  };
}

/** Starts libvirtd and a client on a host. */
export async function equip(index: number): Promise<void> {
  await startLibvirtd(at(index));
  await plugClient(index);
}

/** Returns the hosts that have not died. */
export function living({ dead }: World): number[] {
  return indices.filter(index => !dead.has(index));
}

async function plugClient(index: number): Promise<void> {
  const { name, ip } = client(index);
  const port = `veth-${name}`;
  const inside = ['peer', 'name', 'eth0', 'address', `52:54:00:00:0b:0${index}`, 'netns', name];
  await execa('ip', ['netns', 'add', name]);
  await execa('ip', ['link', 'add', port, 'netns', at(index).name, 'type', 'veth', ...inside]);
  await execa('ip', ['-n', name, 'link', 'set', 'eth0', 'mtu', '1450', 'up']);
  await execa('ip', ['-n', name, 'address', 'add', `${ip}/24`, 'dev', 'eth0']);
  await putClientBack(index);
}

/** Puts a client's port into the bridge: virlan restores only taps of machines as ports. */
export async function putClientBack(index: number): Promise<void> {
  await at(index).run('ip', 'link', 'set', `veth-${client(index).name}`, 'master', bridge, 'up');
}

/** Returns whether etcd has a quorum. */
export function hasQuorum({ deadMembers }: World): boolean {
  return deadMembers.size <= (size - 1) / 2;
}

/** Returns whether a host can talk to etcd. */
export function isConnected(world: World, index: number): boolean {
  return (
    hasQuorum(world) && !world.dead.has(index) && !world.cutOff.has(index) && !world.partitioned.has(index)
  );
}

/** Returns whether packets pass between two hosts. */
export function reachesHost({ partitioned }: World, from: number, to: number): boolean {
  return from === to || !(partitioned.has(from) || partitioned.has(to));
}
