// Reads what the kernel has: links, routes, rules, and what it is capable of.

import { release } from 'node:os';
import { type Family, families } from '../../address/ip.ts';
import { isAnswer } from '../../answers.ts';
import type { BackendName, Listing, RulesPlace, RulesScript } from '../../firewall/backend.ts';
import { backends, type UsableFamilies, usableFamilies } from '../../firewall/backends.ts';
import { type Leftover, listLeftovers } from '../../firewall/flavours.ts';
import type { RulesReader } from '../../firewall/rules-reader.ts';
import { type GuardListing, parseGuardListing } from '../../guard/listing.ts';
import { listGuard } from '../../guard/table.ts';
import { readBytesOrNull } from '../../system/files.ts';
import { type System, system } from '../../system/system.ts';
import { readApplied } from '../records/applied-record.ts';
import type { StaticEntry } from '../state/port-options.ts';
import { isKernelReplaced } from './kernel.ts';
import { type LinksAndRoutes, parseLinksAndRoutes } from './links.ts';
import { mayHaveStaticEntries, parseStaticEntries } from './static-entries.ts';
import { type BridgeVlans, parseVlans } from './vlans.ts';

/** Rules that a program did not list in time: they are taken to be as virlan's record says. */
export interface UnreadRules {
  readonly rules: BackendName | 'guard';
  readonly error: Error;
}

/** virlan's rules of one backend and family, as the kernel lists them. */
export interface RulesListing extends Listing, Pick<RulesPlace, 'family'>, Pick<RulesScript, 'backend'> {}

/** Everything read of the kernel for one network. */
export interface KernelReading extends LinksAndRoutes {
  readonly rules: readonly RulesListing[];
  readonly leftovers: readonly Leftover[];
  readonly guard: GuardListing;
  /** The static entries of the bridge's table of MACs, by port. */
  readonly entries: ReadonlyMap<string, readonly StaticEntry[]>;
  /** Null if the bridge does not keep VLANs apart, or is not there. */
  readonly vlans: BridgeVlans | null;
  readonly unread: readonly UnreadRules[];
}

/** Runs the programs that list the kernel's state, all at once. */
export async function readKernel(
  bridge: string,
  listed: readonly BackendName[],
  families: UsableFamilies,
  reader: RulesReader,
): Promise<KernelReading> {
  const unread: UnreadRules[] = [];
  const orElse = <T>(reading: Promise<T>, rules: UnreadRules['rules'], recorded: () => T) =>
    reading.catch((error: Error) => {
      unread.push({ rules, error });
      return recorded();
    });
  const listRules = async (backend: BackendName, family: Family): Promise<RulesListing> => {
    const listing = backends[backend].list(reader, { bridge, family });
    const found = await orElse<Listing>(listing, backend, () => {
      const { rules } = readApplied(bridge);
      const known = rules.find(each => each.backend === backend && each.family === family);
      return { lines: known?.listing ?? [], translations: [], overruled: [] };
    });
    return { backend, family, ...found };
  };
  // Reads these before the links: a port that leaves the bridge in between would seem to be in it, without entries.
  const entriesAndVlans = Promise.all([listStaticEntries(bridge), listVlans(bridge)]);
  const [[entries, vlans], linksAndRoutes, rules, leftovers, guard] = await Promise.all([
    entriesAndVlans,
    entriesAndVlans.then(() => readLinksAndRoutes(system)),
    Promise.all(listed.flatMap(backend => families[backend].map(family => listRules(backend, family)))),
    // Rules that virlan has not loaded since the host booted do not exist.
    listed.length === 0
      ? []
      : orElse(listLeftovers(system, reader, bridge, families.iptables), 'iptables', () => []),
    listed.includes('nftables')
      ? orElse(listGuard(system, bridge), 'guard', () => ({
          ...parseGuardListing(''),
          lines: readApplied(bridge).guard?.listing ?? [],
        }))
      : parseGuardListing(''),
  ]);
  return { ...linksAndRoutes, rules, leftovers, guard, entries, vlans, unread };
}

/** Runs ip, to read the links and routes of all families. */
export async function readLinksAndRoutes({ run }: Pick<System, 'run'>): Promise<LinksAndRoutes> {
  const show = (...objects: string[]) =>
    run('ip', ['-json', '-details', '-batch', '-'], { input: objects.map(object => `${object}\n`).join('') });
  const linksAndRoutes = ['address show', 'route show table all'];
  try {
    return parseLinksAndRoutes(await show(...linksAndRoutes, 'rule show'));
  } catch (error) {
    if (!isAnswer(error)) throw error;
    // A kernel without rules (CONFIG_IP_MULTIPLE_TABLES).
    return parseLinksAndRoutes(await show(...linksAndRoutes));
  }
}

/** Lists the static entries of a bridge's table of MACs, by port. Runs no program where there can be none. */
export async function listStaticEntries(bridge: string): Promise<KernelReading['entries']> {
  try {
    const table = readBytesOrNull(`/sys/class/net/${bridge}/brforward`);
    if (table === null || !mayHaveStaticEntries(table)) return new Map();
    const show = ['-json', 'fdb', 'show', 'br', bridge, 'state', 'static'];
    return parseStaticEntries(await system.run('bridge', show));
  } catch {
    // The bridge has gone meanwhile, or its program hangs: nothing is known to have changed.
    return new Map(Object.entries(readApplied(bridge).entries));
  }
}

/** Returns whether a bridge keeps VLANs apart. */
export function filtersVlans(bridge: string): boolean {
  return system.readFile(`/sys/class/net/${bridge}/bridge/vlan_filtering`)?.trim() === '1';
}

async function listVlans(bridge: string): Promise<KernelReading['vlans']> {
  if (!filtersVlans(bridge)) return null;
  const defaultVlan = Number(system.readFile(`/sys/class/net/${bridge}/bridge/default_pvid`) ?? 1);
  try {
    return { defaultVlan, byLink: parseVlans(await system.run('bridge', ['-json', 'vlan', 'show'])) };
  } catch {
    // The bridge has gone meanwhile, or its program hangs: its VLANs count as they are recorded.
    const { vlans } = readApplied(bridge);
    return vlans === null ? null : { ...vlans, byLink: new Map(Object.entries(vlans.byLink)) };
  }
}

export function readFamilies(): UsableFamilies {
  return usableFamilies(kernelHasIpv6() ? families : ['ipv4'], system.isInstalled);
}

export function kernelHasIpv6(): boolean {
  return system.exists('/proc/sys/net/ipv6');
}

export function readIpv6Addresses(): string {
  return system.readFile('/proc/net/if_inet6') ?? '';
}

/** Returns whether the kernel has links of type dummy, or a module for them. */
export function canMakeDummy(): boolean {
  const modules = `/lib/modules/${release()}`;
  const lists = ['modules.dep', 'modules.builtin'].map(list => system.readFile(`${modules}/${list}`) ?? '');
  return system.exists('/sys/module/dummy') || lists.some(list => list.includes('/net/dummy.ko'));
}

/** Returns the release of the running kernel if its modules are gone; otherwise null. */
export function replacedKernel(): string | null {
  // The removal of a kernel leaves its directory where another program, such as DKMS, has files in it.
  const installed = system
    .listDirectory('/lib/modules')
    .filter(name =>
      ['modules.dep', 'modules.builtin'].some(list => system.exists(`/lib/modules/${name}/${list}`)),
    );
  return isKernelReplaced(release(), installed) ? release() : null;
}
