// The names of what a probe adds to the host, by which the watcher tells its changes from others.
import { probeLink } from '../../network/state/link-managers.ts';

/** The network namespace, the host's end of its link, and the host name of the DHCP client. */
export const probeNamespace = probeLink;

/** The table of nftables; it differs from the tables of all bridges, whose names begin with `virlan-`. */
export const counterTable = 'virlan_probe';
