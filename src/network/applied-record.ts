import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { readFileOrNull, writeAtomically } from '../system/files.ts';
import { paths } from '../system/paths.ts';
import type { Backend } from './state.ts';

/** What virlan put on the host for one bridge since it booted; `listing` is what the kernel said right afterwards. */
export interface Applied {
  readonly rules: Partial<Record<Backend, { readonly script: string; readonly listing: readonly string[] }>>;
  /** Addresses as `ip/prefix`. */
  readonly addresses: readonly string[];
}

const nothing: Applied = { rules: {}, addresses: [] };

function recordPath(bridge: string): string {
  return `${paths.run}/${bridge}.applied.json`;
}

/** Whether virlan put the network of a bridge there since the host booted, and has not taken it down again. */
export function isEstablished(bridge: string): boolean {
  return existsSync(recordPath(bridge));
}

/** The record, or an empty one when there is none or it cannot be read: then rules are loaded anew, which harms nothing. */
export function readApplied(bridge: string): Applied {
  try {
    return { ...nothing, ...JSON.parse(readFileOrNull(recordPath(bridge)) ?? '{}') };
  } catch (error) {
    if (error instanceof SyntaxError) return nothing;
    throw error;
  }
}

export function writeApplied(bridge: string, applied: Applied): void {
  mkdirSync(paths.run, { recursive: true, mode: 0o700 });
  writeAtomically(recordPath(bridge), `${JSON.stringify(applied, null, 2)}\n`, 0o600);
}

export function forgetApplied(bridge: string): void {
  for (const path of [recordPath(bridge), `${paths.run}/${bridge}.told`]) rmSync(path, { force: true });
}
