// The files that dnsmasq reads again on SIGHUP: a network's hostsfile and its file of names.
import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { NetworkConfig } from '../config/config.ts';
import type { MachineBoot } from '../dnsmasq/boot-lines.ts';
import { configuredHosts, formatHostsfile, type Hostsfile, parseHostsfile } from '../dnsmasq/hostsfile.ts';
import { formatNames, type NamedAddress, parseNames } from '../dnsmasq/names.ts';
import { dnsmasqPaths, extrasDirectory } from '../dnsmasq/paths.ts';
import { VirlanError } from '../errors.ts';
import { activePassThroughs } from '../libvirt/definitions.ts';
import { cached } from '../system/file-cache.ts';
import {
  listDirectory,
  makeDirectory,
  readFileOrNull,
  readOwnFileOrNull,
  writeAtomically,
} from '../system/files.ts';
import { readOwnIfReadable } from '../system/unreadable-files.ts';
import { bootsOf, type ReservedNetwork, wantedNames, wantedReservations, wildcardsOf } from './decision.ts';
import { readLedger } from './ledger-files.ts';

const readHostsfileOf = cached(path => {
  const parsed = parseHostsfile(readOwnFileOrNull(path) ?? '');
  if (parsed.ok) return parsed.value;
  const message = `${path}: ${parsed.error}: repair that line, or move the file away`;
  throw new VirlanError('damaged-file', message);
});

/** Returns the paths of the administrator's own files for a network's dnsmasq, which reads regular files alone. */
export function extrasOf(network: string): string[] {
  const directory = extrasDirectory(network);
  return listDirectory(directory)
    .filter(name => name.endsWith('.conf') && !name.startsWith('.'))
    .map(name => `${directory}/${name}`)
    .filter(path => statSync(path, { throwIfNoEntry: false })?.isFile());
}

const readConfiguredHosts = cached(path => configuredHosts(readFileOrNull(path) ?? ''));

/**
 * Reads a network's hostsfile, an empty one when there is no file, and the lines that the administrator's files for
 * dnsmasq add to it. Throws VirlanError 'damaged-file': such a file is never overwritten.
 */
export function readHostsfile({ name, bridge }: Pick<NetworkConfig, 'name' | 'bridge'>): Hostsfile {
  const configured = extrasOf(name).flatMap(readConfiguredHosts);
  return { ...readHostsfileOf(dnsmasqPaths(bridge).hostsfile), configured };
}

/** Reads the file of names. One that cannot be read counts as empty, and is replaced. */
export function readNames(bridge: string): string {
  return readOwnIfReadable(dnsmasqPaths(bridge).names) ?? '';
}

/** The lines of virlan in a network's hostsfile, and those of its file of names. */
export interface Published {
  readonly reservations: readonly string[];
  readonly names: readonly string[];
}

/** The lines that follow from the ledger. */
export interface Wanted extends Published {
  /** Names that stand for all names below them: they are in dnsmasq's configuration. */
  readonly wildcards: readonly NamedAddress[];
  /** The boots of single machines: they are there, too. */
  readonly boots: readonly MachineBoot[];
}

/** Returns what the files should have. Throws as the readers of their sources. */
export function readWanted(network: ReservedNetwork): Wanted {
  const [ledger, hostsfile] = [readLedger(), readHostsfile(network)];
  const libvirt = activePassThroughs(network).flatMap(({ dnsHosts }) => dnsHosts);
  return {
    reservations: wantedReservations(network, ledger, hostsfile),
    names: wantedNames(network, ledger, hostsfile, libvirt),
    wildcards: wildcardsOf(network, ledger, hostsfile),
    boots: bootsOf(network, ledger),
  };
}

/** Returns what they have. */
export function readPublished(bridge: string): Published {
  const { ours } = readHostsfileOf(dnsmasqPaths(bridge).hostsfile);
  return { reservations: ours, names: parseNames(readNames(bridge)) };
}

/** Writes a network's hostsfile. Throws VirlanError 'write-failed', as `writeNames`. */
export function writeHostsfile(bridge: string, hostsfile: Hostsfile): void {
  write(dnsmasqPaths(bridge).hostsfile, formatHostsfile(hostsfile));
}

/** Writes a network's file of names. */
export function writeNames(bridge: string, lines: readonly string[]): void {
  write(dnsmasqPaths(bridge).names, formatNames(lines));
}

function write(path: string, text: string): void {
  makeDirectory(dirname(path));
  writeAtomically(path, text);
}
