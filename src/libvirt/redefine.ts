// Writes other MACs into a domain's definition. libvirt has no compare-and-swap: a start, or another tool,
// may be under way at the same time.

import { type Domain, DomainXml, ErrorCode, type LibvirtClient, LibvirtError } from 'node-libvirt';
import type { Mac } from '../address/mac.ts';
import { readDomain } from './domain-xml.ts';
import { replaceMacs } from './replace-mac.ts';

/** Flags for XML that is complete, passwords included, as a redefinition needs it. */
export const wholeDefinition = DomainXml.SECURE | DomainXml.INACTIVE;

export type Redefinition =
  | { readonly kind: 'written' }
  /** The definition or the machine's state is no longer what it was: nothing was written. */
  | { readonly kind: 'outdated' }
  /** A managed-save image exists, of which the caller did not know: nothing was written. */
  | { readonly kind: 'has-image' }
  /** libvirt refuses the new MAC, or is too old for a call that this needs. */
  | { readonly kind: 'refused'; readonly error: LibvirtError }
  /** The machine was started meanwhile with its old MAC: the old definition was restored. */
  | { readonly kind: 'started' };

/** MACs to write into a definition. */
interface Wanted {
  readonly macs: ReadonlyMap<number, Mac>;
  /** True if they are those to write while a managed-save image exists. */
  readonly hasImage: boolean;
  readonly isWanted: () => boolean;
}

/**
 * Puts other MACs (place among the domain's interfaces → MAC) into a definition that was read as `xml`. A managed-save
 * image, if there is one, keeps its own. `isWanted` is called right before the definition is written. Throws what the
 * client throws when the domain or libvirt is gone.
 */
export async function redefineMacs(
  client: LibvirtClient,
  domain: Domain,
  xml: string,
  { macs, hasImage, isWanted }: Wanted,
): Promise<Redefinition> {
  const changed = replaceMacs(xml, macs);
  try {
    const [again, active, isSaved] = await Promise.all([
      client.domainGetXmlDesc(domain, wholeDefinition),
      client.domainIsActive(domain),
      client.domainHasManagedSaveImage(domain),
    ]);
    if (isSaved && !hasImage) return { kind: 'has-image' };
    if (again !== xml || active || isSaved !== hasImage || !isWanted()) return { kind: 'outdated' };
    await client.domainDefineXmlFlags(changed);
  } catch (error) {
    if (!(error instanceof LibvirtError) || error.code === ErrorCode.NO_DOMAIN) throw error;
    return { kind: 'refused', error };
  }
  if (!(await runsWithOthers(client, domain, macs))) return { kind: 'written' };
  await client.domainDefineXmlFlags(xml);
  return { kind: 'started' };
}

/** Returns whether the machine was started while its definition changed and so runs with other MACs. */
async function runsWithOthers(
  client: LibvirtClient,
  domain: Domain,
  macs: ReadonlyMap<number, Mac>,
): Promise<boolean> {
  if (!(await client.domainIsActive(domain))) return false;
  const live = readDomain(await client.domainGetXmlDesc(domain));
  return [...macs].some(([place, mac]) => live.nics[place]?.mac !== mac);
}
