import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { readFileOrNull, writeAtomically } from '../host/files.ts';
import { paths } from '../host/paths.ts';

/** libvirt's default network as it was before virlan took it away: for uninstall, which puts it back. */
export interface KeptNetwork {
  readonly xml: string;
  readonly autostart: boolean;
}

export function readKeptNetwork(): KeptNetwork | null {
  const text = readFileOrNull(paths.keptDefault);
  return text === null ? null : JSON.parse(text);
}

/** Keeps it. An autostart once seen stays: the daemon hook takes that away before the rest is. */
export function keepNetwork(network: KeptNetwork): void {
  const autostart = network.autostart || (readKeptNetwork()?.autostart ?? false);
  mkdirSync(dirname(paths.keptDefault), { recursive: true, mode: 0o700 });
  writeAtomically(paths.keptDefault, `${JSON.stringify({ xml: network.xml, autostart }, null, 2)}\n`, 0o600);
}
