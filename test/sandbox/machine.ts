import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { libvirtdLog, virsh } from './libvirtd.ts';

export interface Nic {
  type: 'bridge' | 'network';
  /** The name of the bridge or the libvirt network. */
  source: string;
  mac?: string;
}

export interface Machine {
  name: string;
  uuid?: string;
  nics: Nic[];
  /** XML, put into `<metadata>` as it is. */
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

const escaped = (text: string) => text.replace(/[&<>"'\n]/g, character => entities[character] ?? character);

const nicXml = ({ type, source, mac }: Nic) => `
    <interface type='${type}'>
      ${mac ? `<mac address='${mac}'/>` : ''}
      <source ${type}='${escaped(source)}'/>
      <model type='virtio'/>
    </interface>`;

/** A machine without disk or operating system. Its DHCP client is iPXE, the option ROM of its NICs. */
export const domainXml = ({ name, uuid, nics, metadata }: Machine) => `<domain type='qemu'>
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

/** A machine whose NICs can be plugged in and out while it runs. */
export const withHotplug = (xml: string) => xml.replace('<devices>', '<features><acpi/></features><devices>');

/** Hands XML to a virsh command that reads a file: virsh cannot open the socket that Node makes of stdin. */
async function virshWithXml(command: string, xml: string): Promise<void> {
  const directory = await mkdtemp('/tmp/xml-');
  try {
    await writeFile(`${directory}/xml`, xml);
    await virsh(command, '--file', `${directory}/xml`);
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Defines a machine, or redefines the one with its name and uuid. */
export const define = (xml: string) => virshWithXml('define', xml);

/** Starts a machine that is never defined (`virsh create`): the one way to a name with a newline in it. */
export const create = (xml: string) => virshWithXml('create', xml);

export const defineNetwork = (xml: string) => virshWithXml('net-define', xml);

export const startMachine = (name: string) => virsh('start', '--domain', name);

/** Pulls the machine's plug. Throws with the end of libvirtd's log when that fails, which says what the machine died of. */
export async function destroyMachine(name: string): Promise<string> {
  try {
    return await virsh('destroy', '--domain', name);
  } catch (error) {
    const log = existsSync(libvirtdLog) ? readFileSync(libvirtdLog, 'utf8').slice(-2000) : '';
    throw new Error(`${(error as Error).message}\n${log}`);
  }
}

export const undefine = (name: string) => virsh('undefine', '--domain', name);

/** The MACs of a machine's NICs, as its persistent definition or, when it has none, its running one says. */
export async function macsOf(name: string): Promise<string[]> {
  const xml = await virsh('dumpxml', '--inactive', '--domain', name);
  return [...xml.matchAll(/<mac address='([^']+)'/g)].map(match => match[1] ?? '');
}
