// The record of tables that iptables made for virlan since the host booted: /run/virlan/tables, with lines such
// as `ipv4 filter`. `down` removes them, unless they are in use.
import { rmSync } from 'node:fs';
import { type IptablesTable, removeIfEmpty } from '../firewall/iptables-tables.ts';
import { makeDirectory, readOwnFileOrNull, writeAtomically } from '../system/files.ts';
import { paths } from '../system/paths.ts';
import { system } from '../system/system.ts';

const recordPath = `${paths.run}/tables`;

function readMadeTables(): IptablesTable[] {
  return (readOwnFileOrNull(recordPath) ?? '').split('\n').flatMap(line => {
    const [, family, table] = /^(ipv4|ipv6) ([a-z]+)$/.exec(line) ?? [];
    return table === undefined ? [] : [{ family: family === 'ipv6' ? 'ipv6' : 'ipv4', table }];
  });
}

/** Adds tables to the record. */
export function recordMadeTables(made: readonly IptablesTable[]): void {
  if (made.length === 0) return;
  try {
    write([...readMadeTables(), ...made]);
  } catch {
    // On a full disk `down` leaves the tables, which accept everything.
  }
}

/** Removes the tables that nobody uses. Those with rules of others alone are theirs from now on. */
export async function removeMadeTables(): Promise<void> {
  const made = readMadeTables();
  if (made.length === 0) return;
  const inUse: IptablesTable[] = [];
  for (const each of made) if ((await removeIfEmpty(system, each)) === 'own') inUse.push(each);
  write(inUse);
}

function write(tables: readonly IptablesTable[]): void {
  if (tables.length === 0) {
    rmSync(recordPath, { force: true });
    return;
  }
  const lines = new Set(tables.map(({ family, table }) => `${family} ${table}\n`));
  if ([...lines].join('') === readOwnFileOrNull(recordPath)) return;
  makeDirectory(paths.run, 0o700);
  writeAtomically(recordPath, [...lines].join(''), 0o600);
}
