// booted.ts: what the tests on a booted machine share: machines, state between boots, and queries.
import assert from 'node:assert/strict';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { virsh } from '../sandbox/libvirtd.ts';
import {
  define,
  destroyMachine,
  domainXml,
  type Nic,
  startMachine,
  withHotplug,
} from '../sandbox/machine.ts';
import { difference, processes, type Snapshot } from '../sandbox/snapshot.ts';
import { traces } from './traces.ts';

/** The time limit of short operations on an emulated host. */
export const timeoutSeconds = 240;

const oldMachine = domainXml({ name: 'old', nics: [{ type: 'network', source: 'default' }] });
const onBridge: Nic = { type: 'bridge', source: 'k8s-br0' };

/** Returns the XML of a machine on virlan's bridge that accepts hotplug. */
export function newMachine(name: string): string {
  return withHotplug(domainXml({ name, nics: [onBridge] }));
}

/** Checks that this host is a usual one: default network active, profiles of libvirtd and dnsmasq enforced. */
export async function checkUsualHost(): Promise<void> {
  assert.match(await virsh('net-list', '--all'), /default +active +yes/);
  assert(linksEverSeen().has('virbr0'), 'link-watch.service has not recorded virbr0');
  assert.equal(confinementOf('libvirtd'), 'libvirtd (enforce)');
  assert.equal(confinementOf('dnsmasq'), 'dnsmasq (enforce)');
}

/**
 * Extends the profile of dnsmasq as docs/confinement.md describes, starts a machine on the default network once, and
 * saves the state of this host.
 */
export async function prepareUsualHost(): Promise<void> {
  appendFileSync('/etc/apparmor.d/local/usr.sbin.dnsmasq', readFileSync('contrib/apparmor/usr.sbin.dnsmasq'));
  await output('apparmor_parser', '--replace', '/etc/apparmor.d/usr.sbin.dnsmasq');
  await define(oldMachine);
  await startMachine('old');
  await destroyMachine('old');
  saveState({ before: await traces() });
}

/** State that one boot saves for the next. */
interface SavedState {
  before: Snapshot;
  bridge: object;
}

const statePath = '/root/saved-state.json';

/** Saves state for the next boots, beside what is saved already. */
export function saveState(changes: Partial<SavedState>): void {
  writeFileSync(statePath, JSON.stringify({ ...(existsSync(statePath) ? readState() : {}), ...changes }));
}

export function readState(): SavedState {
  return JSON.parse(readFileSync(statePath, 'utf8'));
}

/**
 * Differences that are not virlan's: files that libvirt writes for machines that are defined, started, or
 * still running at shutdown, and the records of apt and dpkg. Besides, the definition of a machine that has not
 * booted on virlan's network has its formula MAC.
 */
const expectedDifferences =
  /^[-+] (run virtlogd\.pid|file (\/var\/lib\/(apt|dpkg)\/|\/etc\/libvirt\/qemu\/(old\.xml|autostart) |\/etc\/apparmor\.d\/libvirt\/libvirt-|\/var\/lib\/libvirt\/dnsmasq\/virbr0\.macs |\/var\/lib\/libvirt\/qemu\/(channel\/target\/)?domain-\d+-))/;

/** Returns the differences from the state before the installation. */
export async function differences(): Promise<string[]> {
  return difference(readState().before, await traces()).filter(line => !expectedDifferences.test(line));
}

/** Runs a program and returns its output. Throws execa's error if it fails. */
export async function output(program: string, ...args: string[]): Promise<string> {
  return (await execa(program, args)).stdout;
}

/** Returns a property of a systemd unit. */
export async function property(unit: string, name: string): Promise<string> {
  return output('systemctl', 'show', '--value', '--property', name, unit);
}

/** Returns each link that has existed in this boot, as link-watch.service of the machine has recorded. */
export function linksEverSeen(): Set<string> {
  const lines = readFileSync('/run/link-watch', 'utf8').matchAll(/^(?:Deleted )?\d+: ([^:@]+)[:@]/gm);
  return new Set([...lines].map(([, name = '']) => name));
}

/** Returns the log lines of what AppArmor denied in this boot. */
export async function denials(): Promise<string[]> {
  const lines = await output('journalctl', '--boot', '--no-pager', '--output=cat');
  return lines.split('\n').filter(line => line.includes('apparmor="DENIED"'));
}

/** Returns the links of the network, without fields that differ between boots. */
export async function bridgeLinks(): Promise<
  { ifname: string; address: string; kind: string; master?: string }[]
> {
  const links = JSON.parse(await output('ip', '-json', '-details', 'link', 'show'));
  return links
    .filter(({ ifname }: { ifname: string }) => ifname.startsWith('k8s-br0'))
    .map(
      ({
        ifname,
        address,
        master,
        linkinfo,
      }: Record<string, string> & { linkinfo: { info_kind: string } }) => ({
        ifname,
        address,
        kind: linkinfo.info_kind,
        ...(master ? { master } : {}),
      }),
    );
}

/** Returns the AppArmor profile of a running program and its mode. Throws if the program does not run. */
export function confinementOf(program: string): string {
  const [first] = processes(program);
  if (first === undefined) throw new Error(`${program} does not run`);
  return readFileSync(`/proc/${first.pid}/attr/current`, 'utf8').trim();
}
