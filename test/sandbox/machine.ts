// Machines of libvirt: their XML, and virsh commands on them.
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { libvirtdLog, virsh } from './libvirtd.ts';

export interface Nic {
  type: 'bridge' | 'network';
  /** The name of the bridge or the libvirt network. */
  source: string;
  mac?: string;
  /** The host's end, which libvirt names once it has made it. */
  tap?: string;
  /** With `<port isolated='yes'/>`. */
  isolated?: boolean;
}

export interface Machine {
  name: string;
  uuid?: string;
  nics: Nic[];
  /** XML, inserted into `<metadata>` unescaped. */
  metadata?: string;
}

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
  '\n': '&#10;',
};

function escaped(text: string): string {
  return text.replace(/[&<>"'\n]/g, character => entities[character] ?? character);
}

function nicXml({ type, source, mac, tap, isolated }: Nic): string {
  return `
    <interface type='${type}'>
      ${mac ? `<mac address='${mac}'/>` : ''}
      <source ${type}='${escaped(source)}'/>
      ${tap ? `<target dev='${escaped(tap)}'/>` : ''}
      ${isolated ? "<port isolated='yes'/>" : ''}
      <model type='virtio'/>
    </interface>`;
}

/**
 * Returns the XML of a machine without disk or operating system. Its DHCP client is iPXE, the option ROM of
 * its NICs.
 */
export function domainXml({ name, uuid, nics, metadata }: Machine): string {
  return `<domain type='qemu'>
  <name>${escaped(name)}</name>
  ${uuid ? `<uuid>${uuid}</uuid>` : ''}
  ${metadata ? `<metadata>${metadata}</metadata>` : ''}
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <boot dev='network'/>
  </os>
  <devices>${nics.map(nicXml).join('')}
  </devices>
</domain>
`;
}

/** Returns a machine's XML with ACPI, which NIC hotplug needs. */
export function withHotplug(xml: string): string {
  return xml.replace('<devices>', '<features><acpi/></features><devices>');
}

/** Passes XML to a virsh command in a file: Node's stdin for a child is a socket, which virsh cannot open. */
async function virshWithXml(command: string, xml: string): Promise<void> {
  const directory = await mkdtemp('/tmp/xml-');
  try {
    await writeFile(`${directory}/xml`, xml);
    await virsh(command, '--file', `${directory}/xml`);
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Defines a machine, or redefines the machine with this name and UUID. */
export function define(xml: string): Promise<void> {
  return virshWithXml('define', xml);
}

/** Starts a transient machine (`virsh create`). Only these can have a newline in their name. */
export function create(xml: string): Promise<void> {
  return virshWithXml('create', xml);
}

/** Starts a defined machine. */
export function startMachine(name: string): Promise<string> {
  return virsh('start', '--domain', name);
}

/**
 * Powers a machine off. If that fails, throws with the end of libvirtd's log, which says why the machine
 * ended.
 */
export async function destroyMachine(name: string): Promise<string> {
  try {
    return await virsh('destroy', '--domain', name);
  } catch (error) {
    const log = existsSync(libvirtdLog) ? readFileSync(libvirtdLog, 'utf8').slice(-2000) : '';
    throw new Error(`${(error as Error).message}\n${log}`);
  }
}

/** Removes a machine's definition. */
export function undefine(name: string): Promise<string> {
  return virsh('undefine', '--domain', name);
}

/**
 * Returns the MACs of a machine's NICs from its persistent definition or, for a transient machine, its live
 * one.
 */
export async function macsOf(name: string): Promise<string[]> {
  const xml = await virsh('dumpxml', '--inactive', '--domain', name);
  return [...xml.matchAll(/<mac address='([^']+)'/g)].map(match => match[1] ?? '');
}
