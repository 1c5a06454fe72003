// The record of the host's state before virlan first changed it: /var/lib/virlan/before.json. `down` restores
// it. Where it cannot be written, /run/virlan/before.json is a copy: the links and the kernel's settings that it is
// about do not outlive that either.
//
//   {"sysctls": {"net.ipv4.ip_forward": "0"}, "sysctlFile": null, "networks": {"k8s-br0": {"name": "k8s-br0",
//    "boot": "5cf9…", "link": null, "dummy": null, "sysctls": {}, "dnsmasq": {"conf": null, "running": false}}},
//    "version": 2}
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import * as v from 'valibot';
import { formatIp, type Ipv4 } from '../../address/ip.ts';
import { VirlanError } from '../../errors.ts';
import { formatRecord, parseRecord, type RecordFormat } from '../../records/record.ts';
import {
  makeDirectory,
  readFileOrNull,
  readOwnFileOrNull,
  removeFile,
  writeAtomically,
} from '../../system/files.ts';
import { paths } from '../../system/paths.ts';
import type { HostState } from '../state/state.ts';
import { bridgeFields, bridgeSchema, dummySchema } from './record-schemas.ts';

/** One network before virlan first changed it since the host booted; links do not survive a boot. */
const networkSchema = v.looseObject({
  name: v.string(),
  boot: v.string(),
  link: v.nullable(bridgeSchema),
  dummy: v.nullable(dummySchema),
  /** The sysctls of the bridge itself. */
  sysctls: v.record(v.string(), v.string()),
  /** A dnsmasq that the administrator set up at the same place. Its file survives a boot. */
  dnsmasq: v.looseObject({ conf: v.nullable(v.string()), running: v.boolean() }),
});

const schema = v.looseObject({
  sysctls: v.record(v.string(), v.string()),
  sysctlFile: v.nullable(v.string()),
  /** By bridge. */
  networks: v.record(v.string(), networkSchema),
});

const format: RecordFormat<typeof schema> = {
  version: 2,
  migrations: [
    ({ networks, ...others }) => ({
      ...others,
      networks: Object.fromEntries(
        Object.entries(networks ?? {}).map(([bridge, network]) => [bridge, migrateNetwork(network)]),
      ),
    }),
  ],
  schema,
};

export type OriginalNetwork = v.InferOutput<typeof networkSchema>;

export type OriginalState = v.InferOutput<typeof schema>;

interface NetworkOfVersion1 {
  readonly link: {
    readonly addresses?: readonly {
      readonly ip: Ipv4;
      readonly prefix: number;
      readonly broadcast: Ipv4 | null;
    }[];
  } | null;
  readonly nic: unknown;
}

/** Version 1 called the dummy NIC `nic` and kept addresses as numbers. */
function migrateNetwork({ link, nic, ...others }: NetworkOfVersion1) {
  const addresses = (link?.addresses ?? []).map(({ ip, prefix, broadcast, ...rest }) => ({
    ...rest,
    address: `${formatIp(ip)}/${prefix}`,
    broadcast: broadcast === null ? null : formatIp(broadcast),
  }));
  return { ...others, link: link === null ? null : { ...link, addresses }, dummy: nic };
}

/** Reads the record of any version from its text. Throws VirlanError for a damaged one. */
export function parseOriginalState(text: string, path: string): OriginalState {
  const parsed = parseRecord(text, format);
  if (parsed.ok) return parsed.value;
  const remedy = 'repair it, or remove it if the host need not be restored to its earlier state';
  throw new VirlanError('damaged-file', `${path}: ${parsed.error}: ${remedy}`);
}

const copyPath = `${paths.run}/before.json`;

/** Returns the record; null when virlan has changed nothing. Throws VirlanError for a damaged one. */
export function readOriginalState(): OriginalState | null {
  // The copy comes first, because it is the later one.
  for (const path of [copyPath, paths.originalState]) {
    const text = readOwnFileOrNull(path);
    if (text !== null) return parseOriginalState(text, path);
  }
  return null;
}

/** Returns whether the copy has what the record has not. */
export function isCopied(): boolean {
  return existsSync(copyPath);
}

/** Returns the networks of the record, by bridge; none when it cannot be read. */
export function recordedNetworks(): OriginalState['networks'] {
  try {
    return readOriginalState()?.networks ?? {};
  } catch {
    // Callers that need the whole record read it themselves, and report damage.
    return {};
  }
}

/** Returns a network of the record; null when it has none, or cannot be read. */
export function recordedNetwork(bridge: string): OriginalNetwork | null {
  return recordedNetworks()[bridge] ?? null;
}

/** The state that is recorded before a network is changed. */
export interface Addition {
  readonly host: HostState;
  readonly bridge: string;
  readonly network: OriginalNetwork;
}

/** Adds to the record what it lacks. Throws VirlanError for a damaged one. */
export function recordOriginalState(addition: Addition): void {
  const known = readOriginalState();
  const state = withAddition(known, addition);
  if (state !== known || isCopied()) write(state);
}

/** Adds to the copy of the record what the record lacks. Throws VirlanError for a damaged one. */
export function copyOriginalState(addition: Addition): void {
  const state = withAddition(readOriginalState(), addition);
  makeDirectory(paths.run, 0o700);
  writeAtomically(copyPath, formatOriginalState(state), 0o600);
}

/** Returns a record with an addition; the same record if it lacks nothing of it. */
export function withAddition(
  known: OriginalState | null,
  { host, bridge, network }: Addition,
): OriginalState {
  const state = known ?? { sysctls: {}, sysctlFile: host.sysctlFile, networks: {} };
  const sysctls = { ...Object.fromEntries(host.sysctls), ...state.sysctls };
  const earlier = state.networks[bridge];
  if (earlier?.boot === network.boot) {
    // Settings that an isolated network did not need, before it becomes another one.
    return Object.keys(sysctls).length > Object.keys(state.sysctls).length ? { ...state, sysctls } : state;
  }
  // A configuration that is found at a later boot is virlan's own.
  const dnsmasq = earlier === undefined ? network.dnsmasq : { ...earlier.dnsmasq, running: false };
  return { ...state, sysctls, networks: { ...state.networks, [bridge]: { ...network, dnsmasq } } };
}

/** Removes a network that is down from the record, and with the last one the record itself. */
export function removeOriginalState(bridge: string): void {
  const known = readOriginalState();
  if (known === null) return;
  const { [bridge]: _, ...networks } = known.networks;
  if (Object.keys(networks).length > 0) write({ ...known, networks });
  else for (const path of [copyPath, paths.originalState]) removeFile(path);
}

/** Returns the host's part of the record. */
export function originalHost({ sysctls, sysctlFile }: OriginalState): HostState {
  return { sysctls: new Map(Object.entries(sysctls)), sysctlFile };
}

/** Returns an identifier of the time since the host booted. */
export function bootId(): string {
  return readFileOrNull('/proc/sys/kernel/random/boot_id')?.trim() ?? '';
}

/** Returns the record's text in the present version. */
export function formatOriginalState(state: OriginalState): string {
  const networks = Object.fromEntries(
    Object.entries(state.networks).map(([bridge, network]) => [
      bridge,
      { ...network, link: network.link === null ? null : bridgeFields(network.link) },
    ]),
  );
  return formatRecord({ ...state, networks }, format);
}

function write(state: OriginalState): void {
  makeDirectory(dirname(paths.originalState), 0o700);
  writeAtomically(paths.originalState, formatOriginalState(state), 0o600);
  removeFile(copyPath);
}
