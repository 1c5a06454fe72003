// The record of tables and built-in chains that iptables made for virlan since the host booted:
// /run/virlan/tables, with lines such as `ipv4 mangle`, and `ipv4 filter INPUT` for a chain in a table that was
// there. `down` removes them, unless they are in use.
import { type Content, type IptablesObject, removeIfEmpty } from '../../firewall/iptables-tables.ts';
import { makeDirectory, readOwnFileOrNull, removeFile, writeAtomically } from '../../system/files.ts';
import { paths } from '../../system/paths.ts';
import { system } from '../../system/system.ts';

const recordPath = `${paths.run}/tables`;

function readMade(): IptablesObject[] {
  return (readOwnFileOrNull(recordPath) ?? '').split('\n').flatMap(line => {
    const [, family, table, chain = null] = /^(ipv4|ipv6) ([a-z]+)(?: ([A-Z]+))?$/.exec(line) ?? [];
    return table === undefined ? [] : [{ family: family === 'ipv6' ? 'ipv6' : 'ipv4', table, chain }];
  });
}

/** Adds to the record. */
export function recordMadeObjects(made: readonly IptablesObject[]): void {
  if (made.length === 0) return;
  try {
    write([...readMade(), ...made]);
  } catch {
    // On a full disk `down` leaves what was made, which accepts everything.
  }
}

/** The contents of what stays in the record: a later call tries again. */
const keptContents: readonly (Content | 'unknown')[] = ['own', 'unknown'];

/** Removes the tables and chains that nobody uses. Those with rules of others alone are theirs from now on. */
export async function removeMadeObjects(): Promise<void> {
  const made = readMade();
  if (made.length === 0) return;
  const left: IptablesObject[] = [];
  for (const each of made) if (keptContents.includes(await removeIfEmpty(system, each))) left.push(each);
  write(left);
}

function write(objects: readonly IptablesObject[]): void {
  if (objects.length === 0) {
    removeFile(recordPath);
    return;
  }
  const lines = new Set(
    objects.map(
      ({ family, table, chain }) => `${[family, table, ...(chain === null ? [] : [chain])].join(' ')}\n`,
    ),
  );
  if ([...lines].join('') === readOwnFileOrNull(recordPath)) return;
  makeDirectory(paths.run, 0o700);
  writeAtomically(recordPath, [...lines].join(''), 0o600);
}
