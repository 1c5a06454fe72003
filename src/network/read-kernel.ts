// Reads what the kernel has: links, routes, rules, and what it is capable of.

import { release } from 'node:os';
import { isAnswer } from '../answers.ts';
import type { BackendName } from '../firewall/backend.ts';
import { backends, type UsableFamilies, usableFamilies } from '../firewall/backends.ts';
import { listLeftovers } from '../firewall/flavours.ts';
import type { RulesReader } from '../firewall/rules-reader.ts';
import { parseGuardListing } from '../guard/listing.ts';
import { listGuard } from '../guard/table.ts';
import { type System, system } from '../system/system.ts';
import { isKernelReplaced } from './kernel.ts';
import { type LinksAndRoutes, parseLinksAndRoutes } from './links.ts';
import type { HostReading, RulesListing } from './observe.ts';

export type KernelReading = LinksAndRoutes & Pick<HostReading, 'rules' | 'leftovers' | 'guard'>;

/** Runs the programs that list the kernel's state, all at once. */
export async function readKernel(
  bridge: string,
  listed: readonly BackendName[],
  families: UsableFamilies,
  reader: RulesReader,
): Promise<KernelReading> {
  const [linksAndRoutes, rules, leftovers, guard] = await Promise.all([
    readLinksAndRoutes(system),
    listRules(reader, bridge, listed, families),
    // Rules that virlan has not loaded since the host booted do not exist.
    listed.length === 0 ? [] : listLeftovers(system, reader, bridge, families.iptables),
    listed.includes('nftables') ? listGuard(system, bridge) : parseGuardListing(''),
  ]);
  return { ...linksAndRoutes, rules, leftovers, guard };
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

async function listRules(
  reader: RulesReader,
  bridge: string,
  listed: readonly BackendName[],
  families: UsableFamilies,
): Promise<RulesListing[]> {
  const places = listed.flatMap(backend => families[backend].map(family => ({ backend, family })));
  return Promise.all(
    places.map(async ({ backend, family }) => ({
      backend,
      family,
      ...(await backends[backend].list(reader, { bridge, family })),
    })),
  );
}

export function readFamilies(): UsableFamilies {
  return usableFamilies(kernelHasIpv6() ? ['ipv4', 'ipv6'] : ['ipv4'], system.isInstalled);
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
  return isKernelReplaced(release(), system.listDirectory('/lib/modules')) ? release() : null;
}
