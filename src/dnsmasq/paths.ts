// Where the files of a network's dnsmasq are: the places of the recipe that people follow by hand.

/** Below it, each bridge has its own directory. */
export const dnsmasqRoot = '/var/lib/dnsmasq';

export interface DnsmasqPaths {
  readonly directory: string;
  readonly conf: string;
  /** Reservations, see hostsfile.ts. */
  readonly hostsfile: string;
  /** Leases, see leases.ts. */
  readonly leases: string;
  readonly pid: string;
}

export function dnsmasqPaths(bridge: string): DnsmasqPaths {
  const directory = `${dnsmasqRoot}/${bridge}`;
  return {
    directory,
    conf: `${directory}/dnsmasq.conf`,
    hostsfile: `${directory}/hostsfile`,
    leases: `${directory}/leases`,
    pid: `/run/dnsmasq/${bridge}.pid`,
  };
}
