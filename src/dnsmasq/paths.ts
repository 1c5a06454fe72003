// The paths of the files of a network's dnsmasq. They are those of the manual recipe that virlan replaces.
import { dirname } from 'node:path';
import { paths } from '../system/paths.ts';

/** Contains one directory per bridge. install/purge.sh names it too. */
export const dnsmasqRoot = '/var/lib/dnsmasq';

/** Contains the pid file of each. */
export const pidDirectory = '/run/dnsmasq';

export interface DnsmasqPaths {
  readonly directory: string;
  readonly conf: string;
  /** Reservations, see hostsfile.ts. */
  readonly hostsfile: string;
  /** Names, see names.ts. */
  readonly names: string;
  /** Leases, see leases.ts. */
  readonly leases: string;
  readonly pid: string;
  /** The version of the hostsfile and the names that dnsmasq was told of last, see `tellDnsmasq` in process.ts. */
  readonly told: string;
}

/** Returns the paths for the dnsmasq of one bridge. */
export function dnsmasqPaths(bridge: string): DnsmasqPaths {
  const directory = `${dnsmasqRoot}/${bridge}`;
  return {
    directory,
    conf: `${directory}/dnsmasq.conf`,
    hostsfile: `${directory}/hostsfile`,
    names: `${directory}/names`,
    leases: `${directory}/leases`,
    pid: `${pidDirectory}/${bridge}.pid`,
    told: `${paths.run}/${bridge}.told`,
  };
}

/** Returns the directory of the options that the administrator adds for a network's dnsmasq. */
export function extrasDirectory(network: string): string {
  return `${paths.dnsmasqExtras}/${network}`;
}

/**
 * Returns the modes that dnsmasq's files and directories must have at least: it reads them as another user
 * than root. Nobody but their owner may write them: what a user puts there, root would read or follow.
 */
export function requiredModes(bridge: string): ReadonlyMap<string, number> {
  const { directory, conf, hostsfile, names, pid } = dnsmasqPaths(bridge);
  return new Map([
    [dnsmasqRoot, 0o755],
    [directory, 0o755],
    [conf, 0o644],
    [hostsfile, 0o644],
    [names, 0o644],
    [dirname(pid), 0o755],
  ]);
}
