import { type Mac, parseMac } from '../address/mac.ts';
import type { Result } from '../result.ts';
import { walkXml } from './xml.ts';

/** One `<interface>` of a domain, as far as it says where its packets go. */
export interface Nic {
  readonly mac: Mac | null;
  /** The bridge it is plugged into; with a libvirt network, known only while the domain runs. */
  readonly bridge: string | null;
  /** The libvirt network it is on. */
  readonly network: string | null;
  /** The host's end, `vnet0`; known only while the domain runs. */
  readonly tap: string | null;
}

export interface Domain {
  /** As its owner wrote it: hostile, see `machineLabel`. */
  readonly name: string;
  /** Lower-case, with dashes. */
  readonly uuid: string;
  readonly nics: readonly Nic[];
  /** The first element of each namespace in `<metadata>`: namespace → attributes by name. */
  readonly metadata: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

const uuidForm = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Reads a domain's XML, or the `<domstatus>` file of a running one. Never throws, whatever the text. */
export function parseDomain(xml: string): Result<Domain> {
  let name = '';
  let uuid = '';
  let nic: { mac: Mac | null; bridge: string | null; network: string | null; tap: string | null } | null =
    null;
  const nics: Nic[] = [];
  const metadata = new Map<string, ReadonlyMap<string, string>>();
  const local = (path: string) => path.replace(/^domstatus\//, '');

  const walked = walkXml(xml, {
    open(path, attributes, namespace) {
      const at = local(path);
      if (at === 'domain/devices/interface') nic = { mac: null, bridge: null, network: null, tap: null };
      else if (/^domain\/metadata\/[^/]+$/.test(at) && !metadata.has(namespace))
        metadata.set(namespace, attributes);
      if (nic === null) return;
      if (at === 'domain/devices/interface/mac') nic.mac = parseMac(attributes.get('address') ?? '');
      else if (at === 'domain/devices/interface/target') nic.tap = attributes.get('dev') ?? null;
      else if (at === 'domain/devices/interface/source') {
        nic.bridge = attributes.get('bridge') ?? null;
        nic.network = attributes.get('network') ?? null;
      }
    },
    text(path, text) {
      const at = local(path);
      if (at === 'domain/name') name = text;
      else if (at === 'domain/uuid') uuid = text.trim().toLowerCase();
    },
    close(path) {
      if (local(path) !== 'domain/devices/interface' || nic === null) return;
      nics.push(nic);
      nic = null;
    },
  });
  if (!walked.ok) return walked;
  if (name === '') return { ok: false, error: 'XML of no domain: it has no <name>' };
  if (!uuidForm.test(uuid)) return { ok: false, error: 'XML of no domain: it has no <uuid>' };
  return { ok: true, value: { name, uuid, nics, metadata } };
}
