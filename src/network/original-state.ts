import { mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { readFileOrNull, writeAtomically } from '../system/files.ts';
import { paths } from '../system/paths.ts';
import type { BridgeState, HostState, NicState } from './state.ts';

/** What was there of a network before virlan first touched it since the host booted; links do not outlive a boot. */
export interface NetworkBefore {
  readonly name: string;
  readonly boot: string;
  readonly link: BridgeState | null;
  readonly nic: NicState | null;
  /** Those of the bridge itself. */
  readonly sysctls: Readonly<Record<string, string>>;
  /** A dnsmasq that somebody set up by hand at the same place. Its file outlives a boot. */
  readonly dnsmasq: { readonly conf: string | null; readonly running: boolean };
}

/** What the host was like before virlan changed it: written down before the change, put back by `down`. */
export interface Before {
  readonly sysctls: Readonly<Record<string, string>>;
  readonly sysctlFile: string | null;
  /** By bridge. */
  readonly networks: Readonly<Record<string, NetworkBefore>>;
}

/** The record, or null when virlan has changed nothing. Throws for a damaged one, which is never written over. */
export function readBefore(): Before | null {
  const text = readFileOrNull(paths.before);
  if (text === null) return null;
  try {
    return JSON.parse(text);
  } catch (error) {
    const remedy = 'mend it, or remove it if the host need not be put back as it was';
    throw new Error(`${paths.before}: ${(error as Error).message}: ${remedy}`);
  }
}

/** Adds to the record what it does not know yet. */
export function recordBefore(host: HostState, bridge: string, network: NetworkBefore): void {
  const known = readBefore() ?? {
    sysctls: Object.fromEntries(host.sysctls),
    sysctlFile: host.sysctlFile,
    networks: {},
  };
  const earlier = known.networks[bridge];
  if (earlier?.boot === network.boot) return;
  // The configuration that is there at a later boot is virlan's own.
  const { dnsmasq } = earlier === undefined ? network : { dnsmasq: { ...earlier.dnsmasq, running: false } };
  writeBefore({ ...known, networks: { ...known.networks, [bridge]: { ...network, dnsmasq } } });
}

/** Takes a network that is down out of the record, and with the last one the record itself. */
export function forgetBefore(bridge: string): void {
  const known = readBefore();
  if (known === null) return;
  const { [bridge]: _, ...networks } = known.networks;
  if (Object.keys(networks).length > 0) writeBefore({ ...known, networks });
  else rmSync(paths.before, { force: true });
}

export function hostBefore(before: Before): HostState {
  return { sysctls: new Map(Object.entries(before.sysctls)), sysctlFile: before.sysctlFile };
}

/** A name for the time since the host booted. */
export function bootId(): string {
  return readFileOrNull('/proc/sys/kernel/random/boot_id')?.trim() ?? '';
}

function writeBefore(before: Before): void {
  mkdirSync(dirname(paths.before), { recursive: true, mode: 0o700 });
  writeAtomically(paths.before, `${JSON.stringify(before, null, 2)}\n`, 0o600);
}
