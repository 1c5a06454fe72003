// The paths of the files of a network's dnsmasq. They are those of the manual recipe that virlan replaces.

import { paths } from '../system/paths.ts';

/** Contains one directory per bridge. install/purge.sh names it too. */
export const dnsmasqRoot = '/var/lib/dnsmasq';

export interface DnsmasqPaths {
  readonly directory: string;
  readonly conf: string;
  /** Reservations, see hostsfile.ts. */
  readonly hostsfile: string;
  /** Leases, see leases.ts. */
  readonly leases: string;
  readonly pid: string;
  /** The version of the hostsfile that dnsmasq was told of last, see `tellDnsmasq` in process.ts. */
  readonly told: string;
}

/** Returns the paths for the dnsmasq of one bridge. */
export function dnsmasqPaths(bridge: string): DnsmasqPaths {
  const directory = `${dnsmasqRoot}/${bridge}`;
  return {
    directory,
    conf: `${directory}/dnsmasq.conf`,
    hostsfile: `${directory}/hostsfile`,
    leases: `${directory}/leases`,
    pid: `/run/dnsmasq/${bridge}.pid`,
    told: `${paths.run}/${bridge}.told`,
  };
}
