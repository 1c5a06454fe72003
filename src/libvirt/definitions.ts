import { listDirectory, readFileOrNull } from '../host/files.ts';
import { libvirtPaths } from '../host/paths.ts';
import { type Domain, parseDomain } from './domain-xml.ts';
import { type LibvirtNetwork, parseLibvirtNetwork } from './network-xml.ts';

/** What libvirt keeps on disk, read without asking libvirt: a hook must not. A file that makes no sense is passed over. */
export function definedDomains(): Domain[] {
  return readXmlFiles(libvirtPaths.domains).flatMap(xml => parsedOrNone(parseDomain(xml)));
}

/** Domains with a process, as their status files tell: these name their taps. */
export function runningDomains(): Domain[] {
  return readXmlFiles(libvirtPaths.runningDomains).flatMap(xml => parsedOrNone(parseDomain(xml)));
}

export function definedNetworks(): LibvirtNetwork[] {
  return readXmlFiles(libvirtPaths.networks).flatMap(xml => parsedOrNone(parseLibvirtNetwork(xml)));
}

/** Names of libvirt networks that pass through to a bridge: its virlan network's own name, and whatever else is defined so. */
export function passThroughNetworks(network: string, bridge: string): Set<string> {
  const others = definedNetworks().filter(({ forward, bridge: to }) => forward === 'bridge' && to === bridge);
  return new Set([network, ...others.map(({ name }) => name)]);
}

function readXmlFiles(directory: string): string[] {
  const names = listDirectory(directory).filter(name => name.endsWith('.xml'));
  return names.flatMap(name => readFileOrNull(`${directory}/${name}`) ?? []);
}

function parsedOrNone<T>(result: { ok: true; value: T } | { ok: false }): T[] {
  return result.ok ? [result.value] : [];
}
