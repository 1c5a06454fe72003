// Reads libvirt's files about domains and networks, because hooks must not call libvirt.
import { statSync } from 'node:fs';
import type { Result } from '../result.ts';
import { listDirectory } from '../system/files.ts';
import { libvirtPaths } from '../system/paths.ts';
import { readIfReadable } from '../system/unreadable-files.ts';
import { type ActiveNetwork, parseActiveNetwork, withoutDomain } from './active-network.ts';
import { type Domain, hasRunBy, parseDomain } from './domain-xml.ts';
import { isPassThrough, type LibvirtNetwork, parseLibvirtNetwork } from './network-xml.ts';

/**
 * The XML files of a directory, with a cache: a file is parsed again only after it was replaced, which
 * libvirt does at every change. The watcher reads the same hundreds of files often.
 */
export class XmlDirectory<T> {
  #known = new Map<string, { readonly version: string; readonly value: T[] }>();
  readonly #directory: string;
  readonly #parse: (xml: string) => Result<T>;

  constructor(directory: string, parse: (xml: string) => Result<T>) {
    this.#directory = directory;
    this.#parse = parse;
  }

  /** Returns the values of the files that can be read. */
  read(): T[] {
    const paths = listDirectory(this.#directory).filter(name => name.endsWith('.xml'));
    const now = paths.flatMap(name => {
      const path = `${this.#directory}/${name}`;
      const stat = statSync(path, { throwIfNoEntry: false });
      if (stat === undefined) return [];
      const version = `${stat.ino} ${stat.mtimeMs} ${stat.size}`;
      const known = this.#known.get(path);
      if (known?.version === version) return [[path, known] as const];
      const parsed = this.#parse(readIfReadable(path) ?? '');
      return [[path, { version, value: parsed.ok ? [parsed.value] : [] }] as const];
    });
    this.#known = new Map(now);
    return now.flatMap(([, { value }]) => value);
  }
}

/** The caches of this process. */
const defined = new XmlDirectory(libvirtPaths.domains, parseDomain);
const running = new XmlDirectory(libvirtPaths.runningDomains, parseDomain);
const networks = new XmlDirectory(libvirtPaths.networks, parseLibvirtNetwork);
const active = new XmlDirectory(libvirtPaths.activeNetworks, parseLibvirtNetwork);

/** Made when needed: the bundle of a machine's start has no code for it then. */
let activeWithDns: XmlDirectory<ActiveNetwork> | null = null;

/** Returns the domains that have a definition, by their definitions. */
export function definedDomains(): Domain[] {
  return defined.read();
}

/** Returns the running domains, by their status files, which name their taps. */
export function runningDomains(): Domain[] {
  return running.read();
}

/**
 * Returns whether a domain that is stopping has run. libvirt removes its status file after the hook `stopped`, and
 * writes none where the start fails early.
 */
export function hasRun(name: string): boolean {
  // The names of files are libvirt's: no path is made of a domain's.
  const file = listDirectory(libvirtPaths.runningDomains).find(each => each === `${name}.xml`);
  return file !== undefined && hasRunBy(readIfReadable(`${libvirtPaths.runningDomains}/${file}`) ?? '');
}

/** Returns libvirt's networks as they are defined, and then those that are active as they are. */
function libvirtNetworks(): LibvirtNetwork[] {
  return [...networks.read(), ...active.read()];
}

/**
 * Returns the names of the libvirt networks that pass through to a bridge: that of the virlan network, also before
 * libvirt has it, and others. A network that leads elsewhere is none of them, whatever its name.
 */
export function passThroughNetworks(network: string, bridge: string): Set<string> {
  const names = new Set([network]);
  // The last one of a name counts: a network that is active leads where it did, whatever its definition.
  for (const each of libvirtNetworks())
    if (isPassThrough(each, bridge)) names.add(each.name);
    else names.delete(each.name);
  return names;
}

/** Returns the network of libvirt's that has the name of a virlan network and leads elsewhere; null for none. */
export function namesakeOf(network: string, bridge: string): LibvirtNetwork | null {
  const namesake = libvirtNetworks().findLast(({ name }) => name === network);
  return namesake === undefined || isPassThrough(namesake, bridge) ? null : namesake;
}

/**
 * Returns the network of libvirt's own that a bridge which exists was made for; null for none. libvirt removes the
 * file of an active network before it removes the bridge.
 */
export function networkOfBridge(bridge: string): string | null {
  const owner = libvirtNetworks().find(each => each.bridge === bridge && each.forward !== 'bridge');
  return owner?.name ?? null;
}

/**
 * Returns the active libvirt networks that pass through to a bridge, with what their `<dns>` names. libvirt itself
 * serves none of it. Hosts in the network's domain are named without it.
 */
export function activePassThroughs({
  bridge,
  domain,
}: {
  readonly bridge: string;
  readonly domain: string;
}): ActiveNetwork[] {
  activeWithDns ??= new XmlDirectory(libvirtPaths.activeNetworks, parseActiveNetwork);
  return activeWithDns
    .read()
    .filter(network => isPassThrough(network, bridge))
    .map(network => withoutDomain(network, domain));
}
