// Finds the domains that migrate to another host, by libvirt's files of running domains.
import { libvirtPaths } from '../system/paths.ts';
import { XmlDirectory } from './definitions.ts';
import { parseDomainJob } from './domain-xml.ts';

/** The cache of this process. */
const jobs = new XmlDirectory(libvirtPaths.runningDomains, parseDomainJob);

/** Returns the UUIDs of the domains that migrate to another host. */
export function migratingOut(): Set<string> {
  return new Set(jobs.read().flatMap(({ uuid, job }) => (job === 'migration out' ? uuid : [])));
}
