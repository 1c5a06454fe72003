// The record of the host's state before virlan first changed it: /var/lib/virlan/before.json. `down` restores
// it.
//
//   {"sysctls": {"net.ipv4.ip_forward": "0"}, "sysctlFile": null, "networks": {"k8s-br0": {"name": "k8s-br0",
//    "boot": "5cf9…", "link": null, "dummy": null, "sysctls": {}, "dnsmasq": {"conf": null, "running": false}}},
//    "version": 2}
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import * as v from 'valibot';
import { formatIp, type Ipv4 } from '../address/ip.ts';
import { VirlanError } from '../errors.ts';
import { formatRecord, parseRecord, type RecordFormat } from '../records/record.ts';
import { makeDirectory, readFileOrNull, readOwnFileOrNull, writeAtomically } from '../system/files.ts';
import { paths } from '../system/paths.ts';
import { bridgeFields, bridgeSchema, dummySchema } from './record-schemas.ts';
import type { HostState } from './state.ts';

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
    readonly addresses?: readonly { ip: Ipv4; prefix: number; broadcast: Ipv4 | null }[];
  } | null;
  readonly nic: unknown;
}

/** Version 1 called the dummy NIC `nic` and kept addresses as numbers. */
function migrateNetwork({ link, nic, ...others }: NetworkOfVersion1) {
  const addresses = (link?.addresses ?? []).map(({ ip, prefix, broadcast }) => ({
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

/** Returns the record; null when virlan has changed nothing. Throws VirlanError for a damaged one. */
export function readOriginalState(): OriginalState | null {
  const text = readOwnFileOrNull(paths.originalState);
  return text === null ? null : parseOriginalState(text, paths.originalState);
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

/**
 * Adds settings of the host and a network to the record, unless it contains them. Throws VirlanError for a
 * damaged one.
 */
export function recordOriginalState(host: HostState, bridge: string, network: OriginalNetwork): void {
  const known = readOriginalState() ?? {
    sysctls: Object.fromEntries(host.sysctls),
    sysctlFile: host.sysctlFile,
    networks: {},
  };
  const sysctls = { ...Object.fromEntries(host.sysctls), ...known.sysctls };
  const earlier = known.networks[bridge];
  if (earlier?.boot === network.boot) {
    // Settings that an isolated network did not need, before it becomes another one.
    if (Object.keys(sysctls).length > Object.keys(known.sysctls).length) write({ ...known, sysctls });
    return;
  }
  // A configuration that is found at a later boot is virlan's own.
  const dnsmasq = earlier === undefined ? network.dnsmasq : { ...earlier.dnsmasq, running: false };
  write({ ...known, sysctls, networks: { ...known.networks, [bridge]: { ...network, dnsmasq } } });
}

/** Removes a network that is down from the record, and with the last one the record itself. */
export function removeOriginalState(bridge: string): void {
  const known = readOriginalState();
  if (known === null) return;
  const { [bridge]: _, ...networks } = known.networks;
  if (Object.keys(networks).length > 0) write({ ...known, networks });
  else rmSync(paths.originalState, { force: true });
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
}
