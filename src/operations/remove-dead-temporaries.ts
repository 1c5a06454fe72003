// Removes the temporary files that killed processes left beside files that virlan replaces.
import { dirname } from 'node:path';
import type { NetworkConfig } from '../config/config.ts';
import { dnsmasqPaths } from '../dnsmasq/paths.ts';
import { places } from '../identity/ledger-files.ts';
import { removeDeadTemporaries } from '../system/files.ts';
import { libvirtPaths, paths } from '../system/paths.ts';

/** Removes them in all directories whose files virlan often replaces, where that is possible. */
export function removeAllDeadTemporaries(networks: readonly NetworkConfig[]): void {
  const directories = [
    dirname(paths.originalState),
    places.machines,
    places.retired,
    paths.clusterCopies,
    paths.run,
    paths.guard,
    paths.starts,
    libvirtPaths.leaseStatus,
    ...networks.map(({ bridge }) => dnsmasqPaths(bridge).directory),
  ];
  for (const directory of directories) removeDeadTemporaries(directory);
}
