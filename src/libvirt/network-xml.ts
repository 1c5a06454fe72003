// Reads a libvirt network's XML, and the XML of a port that the network hook gets.
//   <network><name>lan</name><forward mode='bridge'/><bridge name='k8s-br0'/></network>
//   <hookData><network>…</network>
//     <networkport><owner><name>web</name>…</owner><mac address='…'/></networkport></hookData>
import { type Mac, parseMac } from '../address/mac.ts';
import { uuidForm } from '../names/uuid.ts';
import type { Result } from '../result.ts';
import { walkXml } from './xml.ts';

/** The part of a libvirt network that says where its machines' packets go. */
export interface LibvirtNetwork {
  readonly name: string;
  /** `nat`, `route`, `bridge`, …; null for an isolated network. */
  readonly forward: string | null;
  readonly bridge: string | null;
}

/** A NIC that libvirt plugs into one of its networks, or unplugs. */
export interface NetworkPort {
  readonly network: LibvirtNetwork;
  readonly owner: { readonly name: string; readonly uuid: string };
  readonly mac: Mac;
  /** True with `<port isolated='yes'/>`. */
  readonly isIsolated: boolean;
}

/** Returns whether a network only connects its machines to this bridge. */
export function isPassThrough({ forward, bridge }: LibvirtNetwork, to: string): boolean {
  return forward === 'bridge' && bridge === to;
}

/** Reads a network's XML, also that of an active network's file or of the network hook. Never throws. */
export function parseLibvirtNetwork(xml: string): Result<LibvirtNetwork> {
  const network = { name: '', forward: null as string | null, bridge: null as string | null };
  const walked = walkXml(xml, networkVisitor(network));
  if (!walked.ok) return walked;
  return network.name === ''
    ? { ok: false, error: 'a network without <name>' }
    : { ok: true, value: network };
}

/** Returns how many NICs an active network's XML says are plugged into it. */
export function countConnections(xml: string): number {
  let count = 0;
  walkXml(xml, {
    open(path, attributes) {
      if (path === 'network') count = Number.parseInt(attributes.get('connections') ?? '0', 10) || 0;
    },
  });
  return count;
}

/**
 * Reads the XML that the network hook gets for `port-created` and `port-deleted` (networkRunHook in
 * bridge_driver.c). Never throws.
 */
export function parseNetworkPort(xml: string): Result<NetworkPort> {
  const network = { name: '', forward: null as string | null, bridge: null as string | null };
  const owner = { name: '', uuid: '' };
  let mac: Mac | null = null;
  let isIsolated = false;
  const visitor = networkVisitor(network);
  const walked = walkXml(xml, {
    open(path, attributes) {
      visitor.open(path, attributes);
      if (path === 'hookData/networkport/mac') mac = parseMac(attributes.get('address') ?? '');
      else if (path === 'hookData/networkport/port') isIsolated = attributes.get('isolated') === 'yes';
    },
    text(path, text) {
      visitor.text(path, text);
      if (path === 'hookData/networkport/owner/name') owner.name = text;
      else if (path === 'hookData/networkport/owner/uuid') owner.uuid = text.trim().toLowerCase();
    },
  });
  if (!walked.ok) return walked;
  if (mac === null || owner.name === '' || !uuidForm.test(owner.uuid)) {
    return { ok: false, error: 'not the XML of a network port: its owner or its MAC is missing' };
  }
  return { ok: true, value: { network, owner, mac, isIsolated } };
}

/** Returns a visitor that reads a network into `network`, which is the root, or within another element. */
export function networkVisitor(network: { -readonly [K in keyof LibvirtNetwork]: LibvirtNetwork[K] }) {
  // Within <hookData> or <networkstatus>.
  const within = (path: string) => path.slice(path.indexOf('network/'));
  return {
    open(path: string, attributes: ReadonlyMap<string, string>) {
      const at = within(path);
      if (at === 'network/forward') network.forward = attributes.get('mode') ?? 'nat';
      else if (at === 'network/bridge') network.bridge = attributes.get('name') ?? null;
    },
    text(path: string, text: string) {
      if (within(path) === 'network/name') network.name = text;
    },
  };
}
