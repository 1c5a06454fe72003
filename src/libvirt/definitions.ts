import { statSync } from 'node:fs';
import { listDirectory, readFileOrNull } from '../system/files.ts';
import { libvirtPaths } from '../system/paths.ts';
import { type Domain, parseDomain } from './domain-xml.ts';
import { type LibvirtNetwork, parseLibvirtNetwork } from './network-xml.ts';

/**
 * The XML files of a directory. What one says is remembered until the file is replaced, as libvirt does whenever it
 * changes something: the watcher looks at the same hundreds of machines again and again.
 */
class XmlDirectory<T> {
  #known = new Map<string, { readonly version: string; readonly value: T[] }>();
  readonly #directory: string;
  readonly #parse: (xml: string) => { ok: true; value: T } | { ok: false };

  constructor(directory: string, parse: (xml: string) => { ok: true; value: T } | { ok: false }) {
    this.#directory = directory;
    this.#parse = parse;
  }

  /** What the files say. One that makes no sense is passed over. */
  read(): T[] {
    const paths = listDirectory(this.#directory).filter(name => name.endsWith('.xml'));
    const now = paths.flatMap(name => {
      const path = `${this.#directory}/${name}`;
      const stat = statSync(path, { throwIfNoEntry: false });
      if (stat === undefined) return [];
      const version = `${stat.ino} ${stat.mtimeMs} ${stat.size}`;
      const known = this.#known.get(path);
      return [[path, known?.version === version ? known : { version, value: this.#readFile(path) }] as const];
    });
    this.#known = new Map(now);
    return now.flatMap(([, { value }]) => value);
  }

  #readFile(path: string): T[] {
    const result = this.#parse(readFileOrNull(path) ?? '');
    return result.ok ? [result.value] : [];
  }
}

const defined = new XmlDirectory(libvirtPaths.domains, parseDomain);
const running = new XmlDirectory(libvirtPaths.runningDomains, parseDomain);
const networks = new XmlDirectory(libvirtPaths.networks, parseLibvirtNetwork);

/** What libvirt keeps on disk, read without asking libvirt: a hook must not. */
export function definedDomains(): Domain[] {
  return defined.read();
}

/** Domains with a process, as their status files tell: these name their taps. */
export function runningDomains(): Domain[] {
  return running.read();
}

function definedNetworks(): LibvirtNetwork[] {
  return networks.read();
}

/** Names of libvirt networks that pass through to a bridge: its virlan network's own name, and whatever else is defined so. */
export function passThroughNetworks(network: string, bridge: string): Set<string> {
  const others = definedNetworks().filter(({ forward, bridge: to }) => forward === 'bridge' && to === bridge);
  return new Set([network, ...others.map(({ name }) => name)]);
}
