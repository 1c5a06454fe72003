// The hosts of a cluster that share their ledgers by etcd: what their watchers, libvirtds and DNS answer.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { MachineStatus } from '../../src/report/machines.ts';
import type { NetworkStatus, Status } from '../../src/report/status.ts';
import { addresses, ClusterHost } from '../sandbox/cluster-hosts.ts';
import { guestKernel } from '../sandbox/initramfs.ts';
import { domainXml, type Machine } from '../sandbox/machine.ts';
import { until as poll } from '../sandbox/until.ts';
import { placeFiles, sharedIni } from './etcd.ts';

/** The hosts that `startHosts` has started. */
export const hosts: ClusterHost[] = [];

export function at(index: number): ClusterHost {
  const host = hosts[index];
  assert(host);
  return host;
}

/**
 * Starts hosts that share their ledgers, one after the other, without libvirtd. `started` is called before virlan is
 * there, and `iniOf` returns virlan.ini of each.
 */
export async function startHosts(
  started: (host: ClusterHost) => Promise<void> = async () => {},
  iniOf: (index: number) => string = sharedIni,
): Promise<void> {
  for (const [index, address] of addresses.entries()) {
    const host = await ClusterHost.start(`host${index + 1}`, address);
    hosts.push(host);
    await started(host);
    await joinCluster(host, iniOf(index));
  }
  await areConnected();
}

/** Waits for a condition that takes a program to find out: three hosts are busy with it. */
export function until(condition: () => Promise<boolean>, timeoutSeconds = 60): Promise<void> {
  return poll(async () => (await condition()) || (await pause(200, false)), timeoutSeconds);
}

/** Starts virlan and the watcher on a host of `addresses`. */
export async function joinCluster(host: ClusterHost, virlanIni: string): Promise<void> {
  await placeFiles(host);
  await host.configure(virlanIni);
  const { exitCode, stderr } = await host.virlan('up');
  assert.equal(exitCode, 0, stderr);
  await host.watch();
}

/** Resolves when each host has all others as living members and as peers. */
async function areConnected(): Promise<void> {
  for (const host of hosts) {
    const others = hosts.map(({ address }) => address).filter(address => address !== host.address);
    await until(async () => {
      const { shared, tunnel } = await network(host);
      const alive = shared?.hosts.filter(each => each.alive).map(each => each.address) ?? [];
      const listed = tunnel?.peers.filter(each => each.listed).map(each => each.address) ?? [];
      return alive.join() === others.join() && listed.join() === others.join();
    }, 30);
  }
}

/** Asks the watcher of a host, which is less work than the command. */
export async function network(host: ClusterHost): Promise<NetworkStatus> {
  const answer = await host.run(
    'curl',
    '--silent',
    '--unix-socket',
    '/run/virlan/socket',
    'http://virlan/status',
  );
  const { networks }: Status = JSON.parse(answer);
  assert(networks[0], answer);
  return networks[0];
}

/** Returns a machine of a host by its name; null without one. */
export async function machine(host: ClusterHost, name: string): Promise<MachineStatus | null> {
  return (await network(host)).machines.find(each => each.name === name) ?? null;
}

/** Returns what a host knows of a machine of another host. */
export async function elsewhere(host: ClusterHost, name: string) {
  return (await network(host)).shared?.machines.find(each => each.name === name) ?? null;
}

export async function isConnected(host: ClusterHost): Promise<boolean> {
  return (await network(host)).shared?.etcd?.connected === true;
}

/** Returns the codes of a host's problems. Kernels without dummy devices are none of the cluster's. */
export async function problems(host: ClusterHost): Promise<string[]> {
  return (await network(host)).faults.map(({ code }) => code).filter(code => code !== 'no-dummy');
}

/** Starts libvirtd, which other hosts may call, and resolves once it takes definitions. */
export async function startLibvirtd(host: ClusterHost): Promise<void> {
  await host.write(
    '/run/libvirtd.conf',
    [
      'listen_tls = 0',
      'listen_tcp = 1',
      'auth_tcp = "none"',
      `listen_addr = "${host.address}"`,
      // Machines do not migrate between hosts of one UUID.
      `host_uuid = "${randomUUID()}"`,
      '',
    ].join('\n'),
  );
  // It asks QEMU what that can do, which takes long on a busy host: a definition would wait for that.
  const script =
    'virtlogd -d; libvirtd -d --listen --config /run/libvirtd.conf; virsh capabilities; touch /run/asked';
  await host.run('sh', '-c', `mkdir -p /run/libvirt /var/log/libvirt; (${script}) > /dev/null 2>&1 &`);
  await until(async () => (await host.run('sh', '-c', 'ls /run/asked || true')) !== '', 240);
}

export function virsh(host: ClusterHost, ...args: string[]): Promise<string> {
  return host.run('virsh', '--quiet', ...args);
}

/** Writes the XML of a machine to a file of the host, and returns its path. */
export async function writeXml(host: ClusterHost, name: string, xml: string): Promise<string> {
  const path = `/tmp/${name}.xml`;
  await host.write(path, xml);
  return path;
}

export function xmlOf(name: string, uuid: string = randomUUID()): string {
  return domainXml({ name, uuid, nics: [{ type: 'bridge', source: 'k8s-br0' }] });
}

/** Returns the XML of a machine that boots Linux with an initial RAM disk, which all hosts see at one path. */
export function linuxXml(machine: Machine, initrd: string, memoryMib: number): string {
  const boot = `<kernel>${guestKernel()}</kernel><initrd>${initrd}</initrd><cmdline>quiet</cmdline>`;
  return domainXml(machine)
    .replace("<boot dev='network'/>", boot)
    .replace("<memory unit='MiB'>64", `<memory unit='MiB'>${memoryMib}`);
}

/** Defines a machine, and returns it once it has its reservation. */
export async function define(host: ClusterHost, name: string, xml = xmlOf(name)): Promise<MachineStatus> {
  await virsh(host, 'define', await writeXml(host, name, xml));
  return reserved(host, name);
}

export async function reserved(host: ClusterHost, name: string): Promise<MachineStatus> {
  // virlan writes its MAC into the definition, and reserves the address for that.
  await until(async () => {
    const known = await machine(host, name);
    const defined = await virsh(host, 'dumpxml', '--inactive', name);
    return known?.hostname != null && defined.includes(known.mac);
  });
  const found = await machine(host, name);
  assert(found);
  return found;
}

/** Asks the DNS of a host. */
export async function resolve(host: ClusterHost, name: string): Promise<string> {
  const question = `require('dns').promises`;
  const script = `const d=new (${question}.Resolver)({timeout:2000,tries:1});d.setServers(['192.168.100.1']);d.resolve4('${name}.k8s-br0.internal').then(a=>console.log(a.join()),e=>console.log(e.code))`;
  return host.run('node', '-e', script);
}

/** Waits until all hosts resolve a name to an address. */
export async function resolvesOn(
  hosts: readonly ClusterHost[],
  name: string,
  ip: string | null,
): Promise<void> {
  for (const host of hosts)
    await until(async () => (await resolve(host, name)) === ip).catch(async () => {
      throw new Error(`${host.name}: ${name} is ${await resolve(host, name)}, not ${ip}`);
    });
}
