// A host's copy of what etcd has for it about a network, for hooks and for the start without etcd:
//   /var/lib/virlan/cluster/k8s-br0.json
//   {"blocks": ["192.168.100.16-192.168.100.19"], "hosts": ["10.0.0.2", "10.0.0.3"], "version": 1}
import * as v from 'valibot';
import { formatIp, type Ipv4, type Ipv4Range, parseIpv4 } from '../address/ip.ts';
import { cached } from '../system/file-cache.ts';
import {
  listDirectory,
  makeDirectory,
  readOwnFileOrNull,
  removeFile,
  writeAtomically,
} from '../system/files.ts';
import { paths } from '../system/paths.ts';
import { formatRecord, parseRecord, type RecordFormat } from './record.ts';

/** The copy. */
export interface ClusterCopy {
  /** The addresses that this host gives without asking: no other host gives them. */
  readonly blocks: readonly Ipv4Range[];
  /** The other hosts. */
  readonly hosts: readonly Ipv4[];
}

const format = {
  version: 1,
  migrations: [],
  schema: v.looseObject({ blocks: v.array(v.string()), hosts: v.array(v.string()) }),
} satisfies RecordFormat<v.GenericSchema>;

const none: ClusterCopy = { blocks: [], hosts: [] };

/** Reads the copy of a network; an empty one where there is none, or it cannot be read: it is written again. */
export function readClusterCopy(network: string): ClusterCopy {
  try {
    return read(pathOf(network));
  } catch {
    return none;
  }
}

const read = cached((path: string): ClusterCopy => parseClusterCopy(readOwnFileOrNull(path) ?? ''));

/** Reads the copy from its text. */
export function parseClusterCopy(text: string): ClusterCopy {
  const record = parseRecord(text, format);
  if (!record.ok) return none;
  const blocks = record.value.blocks.flatMap(text => {
    const [first = null, last = null] = text.split('-').map(parseIpv4);
    return first === null || last === null || first > last ? [] : { first, last };
  });
  return { ...record.value, blocks, hosts: record.value.hosts.flatMap(text => parseIpv4(text) ?? []) };
}

/** Writes the copy. Throws WriteError. */
export function writeClusterCopy(network: string, copy: ClusterCopy): void {
  makeDirectory(paths.clusterCopies, 0o700);
  writeAtomically(pathOf(network), formatClusterCopy(copy), 0o600);
}

/** Returns the copy's text in the present version. */
export function formatClusterCopy({ blocks, hosts, ...others }: ClusterCopy): string {
  const fields = {
    ...others,
    blocks: blocks.map(({ first, last }) => `${formatIp(first)}-${formatIp(last)}`),
    hosts: hosts.map(formatIp),
  };
  return formatRecord(fields, format);
}

/** Removes the copy, if there is one. */
export function removeClusterCopy(network: string): void {
  removeFile(pathOf(network));
}

/** Returns the networks that have a copy. */
export function copiedNetworks(): string[] {
  return listDirectory(paths.clusterCopies).flatMap(name => /^([\w-]+)\.json$/.exec(name)?.slice(1) ?? []);
}

function pathOf(network: string): string {
  return `${paths.clusterCopies}/${network}.json`;
}
