// The two flavours of iptables: on nf_tables, and on the tables of earlier kernels. The rules of one are
// invisible to the programs of the other, and both decide about packets.
import type { Family } from '../address/ip.ts';
import type { System } from '../system/system.ts';
import type { RulesPlace } from './backend.ts';
import { ownLines, replaceScript, restoreRules } from './iptables.ts';
import { type Flavour, iptablesPrefix, type RulesReader } from './rules-reader.ts';

/** Files of the kernel that name the tables of the flavour `legacy`. */
const legacyTables: Readonly<Record<Family, string>> = {
  ipv4: '/proc/net/ip_tables_names',
  ipv6: '/proc/net/ip6_tables_names',
};

/** Returns whether the kernel has tables of iptables-legacy: nft does not list them, nor report changes. */
export function hasLegacyTables(readFile: System['readFile'], family: Family): boolean {
  return (readFile(legacyTables[family]) ?? '') !== '';
}

/**
 * Returns the prefix of the programs for tables of iptables-legacy: that of the only ones where none has the flavour in
 * its name.
 */
export function legacyPrefix({ isInstalled }: Pick<System, 'isInstalled'>, family: Family): string {
  const named = `${iptablesPrefix[family]}-legacy`;
  return isInstalled(`${named}-save`) ? named : iptablesPrefix[family];
}

/**
 * Returns the flavour that `iptables`, or `ip6tables`, is not; null where that is unknown. Either can be selected
 * without the other.
 */
export function otherFlavour({ leadsTo }: Pick<System, 'leadsTo'>, family: Family): Flavour | null {
  const program = leadsTo(`${iptablesPrefix[family]}-save`) ?? '';
  if (program.includes('legacy')) return 'nft';
  return program.includes('nft') ? 'legacy' : null;
}

/** virlan's rules of the flavour that `iptables` is not, as after another one was selected. */
export interface Leftover {
  readonly family: Family;
  readonly flavour: Flavour;
}

/** Returns virlan's leftovers for a bridge; one process for each family, and none where there are no tables. */
export async function listLeftovers(
  system: Pick<System, 'leadsTo' | 'readFile' | 'isInstalled'>,
  reader: RulesReader,
  bridge: string,
  families: readonly Family[],
): Promise<Leftover[]> {
  const places = families.flatMap((family): Leftover[] => {
    const flavour = otherFlavour(system, family);
    return flavour !== null &&
      system.isInstalled(`${iptablesPrefix[family]}-${flavour}-save`) &&
      (flavour === 'nft' || hasLegacyTables(system.readFile, family))
      ? [{ family, flavour }]
      : [];
  });
  const found = await Promise.all(
    places.map(async ({ family, flavour }) => {
      const lines = ownLines(bridge, await reader.savedByFlavour(flavour, family));
      return lines.length === 0 ? [] : [{ family, flavour }];
    }),
  );
  return found.flat();
}

/** Removes virlan's rules of one flavour. Throws CommandError. */
export async function removeLeftover(
  system: Pick<System, 'run'>,
  reader: RulesReader,
  { bridge, family }: RulesPlace,
  flavour: Flavour,
): Promise<void> {
  const listing = ownLines(bridge, await reader.savedByFlavour(flavour, family));
  const input = replaceScript(bridge, null, listing);
  await restoreRules(system, `${iptablesPrefix[family]}-${flavour}`, input);
}
