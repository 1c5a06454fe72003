import { mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { readFileOrNull, writeAtomically } from '../system/files.ts';
import { paths } from '../system/paths.ts';
import type { KeptNetwork } from './decide.ts';

export function readKeptNetwork(): KeptNetwork | null {
  const text = readFileOrNull(paths.keptDefault);
  return text === null ? null : JSON.parse(text);
}

/** Keeps it. What was once seen stays: the daemon hook takes the autostart away before the rest is. */
export function keepNetwork({ xml, ...network }: KeptNetwork): void {
  const earlier = readKeptNetwork();
  const autostart = network.autostart || earlier?.autostart === true;
  const active = network.active || earlier?.active === true;
  mkdirSync(dirname(paths.keptDefault), { recursive: true, mode: 0o700 });
  writeAtomically(paths.keptDefault, `${JSON.stringify({ xml, autostart, active }, null, 2)}\n`, 0o600);
}

export function forgetKeptNetwork(): void {
  rmSync(paths.keptDefault, { force: true });
}
