// The networks that virlan defines in libvirt: their XML, their UUID and the mark by which virlan knows them. Pure.
//   <network><name>k8s-br0</name><uuid>…</uuid>
//     <metadata><virlan:network xmlns:virlan='urn:virlan:network:1'/></metadata>
//     <forward mode='bridge'/><bridge name='k8s-br0'/></network>
import { walkXml } from '../libvirt/xml.ts';
import { digest } from '../names/digest.ts';

/** The XML namespace of the metadata that marks a libvirt network as defined by virlan. */
const virlanNamespace = 'urn:virlan:network:1';

interface Defined {
  readonly name: string;
  readonly xml: string;
}

/** Returns whether a network has virlan's mark, which a copy of it has too. */
export function isMarked({ xml }: Pick<Defined, 'xml'>): boolean {
  return xml.includes(`'${virlanNamespace}'`) || xml.includes(`"${virlanNamespace}"`);
}

/** Returns whether virlan itself made a network up on this host: nobody else makes its UUID. */
export function isOfHost(network: Defined, machineId: string): boolean {
  return isMarked(network) && uuidOf(network) === networkUuid(machineId, network.name);
}

/**
 * Returns whether virlan made a network up from this configuration file. One of another file, which
 * `virlan up --config` named, does not follow this one.
 */
export function isOwn(
  network: Defined,
  { machineId, file }: { readonly machineId: string; readonly file: string | null },
): boolean {
  return isOfHost(network, machineId) && fileOf(network.xml) === file;
}

/** Returns the mark of a configuration file by its path: null for the installed one. A path would be hostile text. */
export function markOfFile(path: string, installed: string): string | null {
  return path === installed ? null : digest(path).toString('hex').slice(0, 16);
}

function fileOf(xml: string): string | null {
  let file: string | null = null;
  walkXml(xml, {
    open(path, attributes, namespace) {
      if (path === 'network/metadata/network' && namespace === virlanNamespace)
        file = attributes.get('file') ?? null;
    },
  });
  return file;
}

/**
 * Returns the UUID of a network of virlan's: the same whenever it is defined again, because tools such as
 * Terraform and Vagrant remember it. Version 8 of RFC 9562, made from a hash.
 */
export function networkUuid(machineId: string, name: string): string {
  const bytes = digest(`virlan network\0${machineId}\0${name}`).subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/** Returns the UUID in a network's XML; null for none. */
export function uuidOf({ xml }: Pick<Defined, 'xml'>): string | null {
  return /<uuid>([0-9a-f-]{36})<\/uuid>/.exec(xml)?.[1] ?? null;
}

/** A network that virlan defines. */
export interface PassThrough {
  readonly name: string;
  readonly uuid: string | null;
  readonly bridge: string;
  readonly file: string | null;
}

/**
 * Returns the XML that defines a pass-through network. Name and bridge come from virlan.ini, whose schema allows no
 * character that XML would have to escape.
 */
export function passThroughXml({ name, uuid, bridge, file }: PassThrough): string {
  const of = file === null ? '' : ` file='${file}'`;
  const metadata = `<metadata>\n    <virlan:network xmlns:virlan='${virlanNamespace}'${of}/>\n  </metadata>`;
  const elements = [
    `<name>${name}</name>`,
    ...(uuid === null ? [] : [`<uuid>${uuid}</uuid>`]),
    metadata,
    `<forward mode='bridge'/>`,
    `<bridge name='${bridge}'/>`,
  ];
  return `<network>\n${elements.map(element => `  ${element}\n`).join('')}</network>\n`;
}
