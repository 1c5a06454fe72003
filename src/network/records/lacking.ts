// Remembers which rules the running kernel refuses, so that they are not tried again and again.
import { statSync } from 'node:fs';
import type { Lacking } from '../../firewall/backend.ts';
import { digest } from '../../names/digest.ts';
import { systemPath } from '../../system/paths.ts';
import { system } from '../../system/system.ts';
import { readApplied, writeApplied } from './applied-record.ts';

/**
 * Returns what the kernel has refused since the host booted. Once its modules or the programs have changed,
 * nothing is known.
 */
export function readLacking(bridge: string): readonly Lacking[] {
  const { lacking } = readApplied(bridge);
  return lacking.parts.length === 0 || lacking.under !== circumstances() ? [] : lacking.parts;
}

/** Remembers what the kernel refuses; nothing without a record. */
export function rememberLacking(bridge: string, parts: readonly Lacking[]): void {
  const applied = readApplied(bridge);
  if (parts.length + applied.lacking.parts.length === 0) return;
  try {
    writeApplied(bridge, { ...applied, lacking: { parts: [...parts], under: circumstances() } });
  } catch {
    // This process remembers it, and the next one tries again.
  }
}

/** Returns a text that changes with the kernel's modules, and with the programs that load rules. */
function circumstances(): string {
  const modules = (system.readFile('/proc/modules') ?? '').split('\n').map(line => line.split(' ')[0]);
  const programs = systemPath
    .split(':')
    .flatMap(directory => ['nft', 'iptables-restore'].map(program => `${directory}/${program}`))
    .map(path => {
      const found = statSync(path, { throwIfNoEntry: false });
      return found === undefined ? '' : `${found.ino} ${found.mtimeMs}`;
    });
  return digest([...modules.sort(), ...programs].join('\n'))
    .toString('hex')
    .slice(0, 16);
}
