// Tells libvirt's own network `default`, as packages define it, from one that an administrator made. Pure.
//   <network><name>default</name><forward mode='nat'/><bridge name='virbr0' stp='on' delay='0'/>
//     <ip address='192.168.122.1' netmask='255.255.255.0'><dhcp><range start='…' end='…'/></dhcp></ip></network>
import { walkXml } from '../libvirt/xml.ts';

/** The first thing in which a network differs from libvirt's own. Names are hostile text. */
export type OwnersChange =
  | { readonly kind: 'forward-mode'; readonly mode: string | null }
  | { readonly kind: 'bridge'; readonly bridge: string | null }
  /** An element that libvirt's own network lacks, such as `host` for a reservation. */
  | { readonly kind: 'element'; readonly name: string }
  /** An attribute that it lacks, such as `zone` for another zone of firewalld. */
  | { readonly kind: 'attribute'; readonly element: string; readonly name: string }
  | { readonly kind: 'unreadable' };

/** The bridge of libvirt's own network. */
export const shippedBridge = 'virbr0';

/**
 * The elements that libvirt's own network has, and those that libvirt adds to it, with their attributes. Addresses
 * do not matter: packages choose another subnet where 192.168.122.0/24 is in use.
 */
const shippedElements: ReadonlyMap<string, readonly string[]> = new Map([
  ['network', ['connections']],
  ['network/name', []],
  ['network/uuid', []],
  ['network/forward', ['mode']],
  ['network/forward/nat', []],
  ['network/forward/nat/port', ['start', 'end']],
  ['network/bridge', ['name', 'stp', 'delay']],
  ['network/mac', ['address']],
  ['network/ip', ['address', 'netmask', 'prefix', 'family']],
  ['network/ip/dhcp', []],
  ['network/ip/dhcp/range', ['start', 'end']],
]);

/** Returns the change that makes a network an administrator's own; null for libvirt's own. */
export function findOwnersChange(xml: string): OwnersChange | null {
  let mode: string | null = null;
  let bridge: string | null = null;
  let addresses = 0;
  let other: OwnersChange | null = null;
  const walked = walkXml(xml, {
    open(path, attributes) {
      if (path === 'network/forward') mode = attributes.get('mode') ?? 'nat';
      else if (path === 'network/bridge') bridge = attributes.get('name') ?? null;
      else if (path === 'network/ip') addresses += 1;
      const element = path.slice(path.lastIndexOf('/') + 1);
      const shipped = shippedElements.get(path);
      if (shipped === undefined || addresses > 1) other ??= { kind: 'element', name: element };
      const added = [...attributes.keys()].find(name => shipped?.includes(name) === false);
      if (added !== undefined) other ??= { kind: 'attribute', element, name: added };
    },
  });
  if (!walked.ok) return { kind: 'unreadable' };
  if (mode !== 'nat') return { kind: 'forward-mode', mode };
  if (bridge !== shippedBridge) return { kind: 'bridge', bridge };
  return other;
}
