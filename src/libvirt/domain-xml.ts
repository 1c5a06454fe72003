// Reads a domain's XML: its name, its UUID, its NICs and its metadata.
//   <domain><name>web</name><uuid>6b4a5c7e-…</uuid><metadata>…</metadata>
//     <devices><interface type='bridge'><mac address='52:54:00:c5:f2:a7'/><source bridge='k8s-br0'/></interface>…
import { type Mac, parseMac } from '../address/mac.ts';
import { VirlanError } from '../errors.ts';
import { uuidForm } from '../names/uuid.ts';
import type { Result } from '../result.ts';
import { walkXml } from './xml.ts';

/** The part of an `<interface>` that concerns the host's end. */
export interface Nic {
  readonly mac: Mac | null;
  /** The bridge it is plugged into; with a libvirt network, known only while the domain runs. */
  readonly bridge: string | null;
  /** The link of the host that it is a macvtap of (`type='direct'`). */
  readonly device: string | null;
  /** The libvirt network it is on. */
  readonly network: string | null;
  /** The host's end, `vnet0`; known only while the domain runs. */
  readonly tap: string | null;
  /** False with `<link state='down'/>`. */
  readonly isUp: boolean;
  /** In bytes; null where it names none. */
  readonly mtu: number | null;
  /** True with `<port isolated='yes'/>`. */
  readonly isolated: boolean;
  /** True with `<teaming>`: the guest uses it and a NIC of the host as one, by their common MAC. */
  readonly teamed: boolean;
}

/** An element of `<metadata>`, which any tool may write: hostile. */
export interface MetadataElement {
  /** Without its prefix. */
  readonly name: string;
  readonly namespace: string;
  /** By local name. */
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: readonly MetadataElement[];
  /** The text directly within it, entities resolved. */
  readonly text: string;
}

export interface Domain {
  /** Chosen by its owner: hostile, see `machineLabel`. */
  readonly name: string;
  /** Lower-case, with dashes. */
  readonly uuid: string;
  readonly nics: readonly Nic[];
  /** The children of `<metadata>`; the first one of each namespace, as libvirt itself keeps one. */
  readonly metadata: readonly MetadataElement[];
}

/** Most elements kept of each child of `<metadata>`: libvirt's longest XML can have a million. */
const maxElementsKept = 1000;

/** The root of a running domain's file below /run/libvirt/qemu. */
const statusRoot = /^domstatus\//;

/** Reads a domain's XML as libvirt gives it. Throws VirlanError 'unreadable-xml'. */
export function readDomain(xml: string): Domain {
  const domain = parseDomain(xml);
  if (domain.ok) return domain.value;
  throw unreadableDomain(domain.error);
}

/** Returns the error for XML of a domain that cannot be read, and why. */
export function unreadableDomain(why: string): VirlanError {
  return new VirlanError('unreadable-xml', `libvirt's XML of a domain cannot be read: ${why}`);
}

/** Reads a domain's XML, or the `<domstatus>` file of a running one. Never throws, whatever the text. */
export function parseDomain(xml: string): Result<Domain> {
  const identity = { name: '', uuid: '' };
  const nics = new NicReader();
  const metadata = new MetadataReader();
  const walked = walkXml(xml, {
    open(path, attributes, namespace) {
      const at = path.replace(statusRoot, '');
      nics.open(at, attributes);
      metadata.open(at, attributes, namespace);
    },
    text(path, text) {
      const at = path.replace(statusRoot, '');
      if (at === 'domain/name') identity.name = text;
      else if (at === 'domain/uuid') identity.uuid = text.trim().toLowerCase();
      metadata.text(text);
    },
    close(path) {
      nics.close(path.replace(statusRoot, ''));
      metadata.close();
    },
  });
  if (!walked.ok) return walked;
  const { name, uuid } = identity;
  if (name === '') return { ok: false, error: 'not the XML of a domain: it has no <name>' };
  if (!uuidForm.test(uuid)) return { ok: false, error: 'not the XML of a domain: it has no <uuid>' };
  return { ok: true, value: { name, uuid, nics: nics.nics, metadata: metadata.roots } };
}

/** Returns whether the file of a domain says that it has run: libvirt writes one before QEMU has begun. */
export function hasRunBy(status: string): boolean {
  let hasRun = false;
  walkXml(status, {
    open(path, attributes) {
      if (path !== 'domstatus') return;
      // A machine that comes from another host or from an image is `migration`, and has run there or before.
      hasRun = attributes.get('state') !== 'shutoff' && attributes.get('reason') !== 'starting up';
    },
  });
  return hasRun;
}

/** A job that libvirt does with a running domain for some time, such as a migration. */
export interface DomainJob {
  readonly uuid: string;
  /** `migration out`, `snapshot`, …, as libvirt names it (virDomainAsyncJobType); null for none. */
  readonly job: string | null;
}

/**
 * Reads the job in the file of a running domain. Never throws, whatever the text.
 *   <domstatus state='running' …><job type='none' async='migration out' …/><domain>…<uuid>6b4a5c7e-…</uuid>…
 */
export function parseDomainJob(xml: string): Result<DomainJob> {
  let uuid = '';
  let job: string | null = null;
  const walked = walkXml(xml, {
    open(path, attributes) {
      const name = attributes.get('async') ?? 'none';
      if (path === 'domstatus/job') job = name === 'none' ? null : name;
    },
    text(path, text) {
      if (path === 'domstatus/domain/uuid') uuid = text.trim().toLowerCase();
    },
  });
  if (!walked.ok) return walked;
  return uuidForm.test(uuid)
    ? { ok: true, value: { uuid, job } }
    : { ok: false, error: 'not the file of a running domain: it has no <uuid>' };
}

const emptyNic: Nic = {
  mac: null,
  bridge: null,
  device: null,
  network: null,
  tap: null,
  isUp: true,
  mtu: null,
  isolated: false,
  teamed: false,
};

/** The MTUs that a tap can have (MIN_MTU and MAX_MTU in drivers/net/tun.c). */
function parseMtu(text: string): number | null {
  const mtu = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return mtu >= 68 && mtu <= 65_521 ? mtu : null;
}

class NicReader {
  readonly nics: Nic[] = [];
  #nic: { -readonly [K in keyof Nic]: Nic[K] } | null = null;

  open(path: string, attributes: ReadonlyMap<string, string>): void {
    if (path === 'domain/devices/interface') this.#nic = { ...emptyNic };
    if (this.#nic === null) return;
    switch (path) {
      case 'domain/devices/interface/mac':
        this.#nic.mac = parseMac(attributes.get('address') ?? '');
        return;
      case 'domain/devices/interface/target':
        this.#nic.tap = attributes.get('dev') ?? null;
        return;
      case 'domain/devices/interface/source':
        this.#nic.bridge = attributes.get('bridge') ?? null;
        this.#nic.device = attributes.get('dev') ?? null;
        this.#nic.network = attributes.get('network') ?? null;
        return;
      case 'domain/devices/interface/link':
        this.#nic.isUp = attributes.get('state') !== 'down';
        return;
      case 'domain/devices/interface/mtu':
        this.#nic.mtu = parseMtu(attributes.get('size') ?? '');
        return;
      case 'domain/devices/interface/port':
        this.#nic.isolated = attributes.get('isolated') === 'yes';
        return;
      case 'domain/devices/interface/teaming':
        this.#nic.teamed = true;
    }
  }

  close(path: string): void {
    if (path !== 'domain/devices/interface' || this.#nic === null) return;
    this.nics.push(this.#nic);
    this.#nic = null;
  }
}

interface OpenElement extends MetadataElement {
  readonly children: MetadataElement[];
  text: string;
}

/**
 * Builds the elements within `<metadata>`: of each namespace the first, with at most `maxElementsKept` in
 * all.
 */
class MetadataReader {
  readonly roots: MetadataElement[] = [];
  readonly #namespaces = new Set<string>();
  /** The elements that are open; a null stands for one that is not kept. */
  readonly #open: (OpenElement | null)[] = [];
  /** The number of kept elements of the present child of `<metadata>`. */
  #kept = 0;

  open(path: string, attributes: ReadonlyMap<string, string>, namespace: string): void {
    if (!path.startsWith('domain/metadata/')) return;
    const siblings = this.#siblings(namespace);
    const name = path.slice(path.lastIndexOf('/') + 1);
    const element =
      siblings === null || this.#kept === maxElementsKept
        ? null
        : { name, namespace, attributes, children: [], text: '' };
    this.#open.push(element);
    if (element === null) return;
    this.#kept++;
    siblings?.push(element);
  }

  /** Takes the text of the element that closes next. */
  text(text: string): void {
    const element = this.#open.at(-1) ?? null;
    if (element !== null) element.text = text;
  }

  close(): void {
    this.#open.pop();
  }

  /** Returns the list that a new element belongs to; null when it is not kept. */
  #siblings(namespace: string): MetadataElement[] | null {
    const parent = this.#open.at(-1);
    if (parent !== undefined) return parent?.children ?? null;
    this.#kept = 0;
    if (this.#namespaces.has(namespace)) return null;
    this.#namespaces.add(namespace);
    return this.roots;
  }
}
