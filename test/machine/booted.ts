import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { formulaMac } from '../../src/identity/formula.ts';
import { domainXml, type Nic, withHotplug } from '../sandbox/machine.ts';
import { difference, processes, type Snapshot } from '../sandbox/snapshot.ts';
import { traces } from './traces.ts';

/** How long an emulated host needs at most for what takes a real one a moment, in seconds. */
export const patience = 240;

export const oldMachine = domainXml({ name: 'old', nics: [{ type: 'network', source: 'default' }] });
const onBridge: Nic = { type: 'bridge', source: 'k8s-br0' };
export function newMachine(name: string) {
  return withHotplug(domainXml({ name, nics: [onBridge] }));
}

export function formulaMacOf(machine: string, nic = 0) {
  return formulaMac({ network: 'k8s-br0', machine, nic }, () => false);
}

/** What one boot tells the next. */
interface Memory {
  before: Snapshot;
  bridge: object;
}

const memory = '/root/memory.json';

export function remember(things: Partial<Memory>): void {
  writeFileSync(memory, JSON.stringify({ ...(existsSync(memory) ? recall() : {}), ...things }));
}

export function recall(): Memory {
  return JSON.parse(readFileSync(memory, 'utf8'));
}

/**
 * What libvirt writes for machines that are defined, started, or still run when the host shuts down. And the definition of a
 * machine that never booted on virlan's network has got the formula's MAC.
 */
const ofMachines =
  /^[-+] (run virtlogd\.pid|file (\/etc\/libvirt\/qemu\/(old\.xml|autostart) |\/etc\/apparmor\.d\/libvirt\/libvirt-|\/var\/lib\/libvirt\/dnsmasq\/virbr0\.macs |\/var\/lib\/libvirt\/qemu\/(channel\/target\/)?domain-\d+-))/;

/** What is not as it was before the installation. */
export async function differences(): Promise<string[]> {
  return difference(recall().before, await traces()).filter(line => !ofMachines.test(line));
}

/** What a program prints. Throws with what it says when it fails. */
export async function output(program: string, ...args: string[]): Promise<string> {
  return (await execa(program, args)).stdout;
}

export async function property(unit: string, name: string): Promise<string> {
  return output('systemctl', 'show', '--value', '--property', name, unit);
}

/** Each link that was there at any time of this boot, by the machine's own link-watch.service. */
export function linksEverSeen(): Set<string> {
  const lines = readFileSync('/run/link-watch', 'utf8').matchAll(/^(?:Deleted )?\d+: ([^:@]+)[:@]/gm);
  return new Set([...lines].map(([, name = '']) => name));
}

/** What AppArmor refused in this boot. */
export async function denials(): Promise<string[]> {
  const lines = await output('journalctl', '--boot', '--no-pager', '--output=cat');
  return lines.split('\n').filter(line => line.includes('apparmor="DENIED"'));
}

/** Links without what differs from boot to boot. */
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

/** The AppArmor profile that a running program is in, and how it is enforced. Throws when the program does not run. */
export function confinementOf(program: string): string {
  const [first] = processes(program);
  if (first === undefined) throw new Error(`${program} does not run`);
  return readFileSync(`/proc/${first.pid}/attr/current`, 'utf8').trim();
}
