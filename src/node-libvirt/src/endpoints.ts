// Which daemon serves what. There is either libvirtd, which does everything, or one daemon per driver: virtqemud and
// virtnetworkd (https://libvirt.org/daemons.html).

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Endpoint } from './link.ts';

/** Which kind of daemons a host has; 'auto' looks. */
export type Layout = 'auto' | 'monolithic' | 'modular';

/**
 * Where the machines are. 'auto' decides as libvirt's own client does (remoteGetUNIXSocket): the modular daemon if its
 * socket is there, whether anybody listens or not.
 */
export const locateDomains = (socketDirectory: string, layout: Layout): Endpoint => {
  const modular = join(socketDirectory, 'virtqemud-sock');
  const uri = 'qemu:///system';
  return layout === 'modular' || (layout === 'auto' && existsSync(modular))
    ? { socket: modular, uri, drivers: ['domain'] }
    : { socket: join(socketDirectory, 'libvirt-sock'), uri, drivers: ['domain', 'network'] };
};

/**
 * Where the networks are on a host with modular daemons. virtqemud would pass network calls on, but keeps its own
 * connection to virtnetworkd when that restarts, and then network events silently stop (remoteGetNetworkConn).
 */
export const locateNetworks = (socketDirectory: string): Endpoint => ({
  socket: join(socketDirectory, 'virtnetworkd-sock'),
  uri: 'network:///system',
  drivers: ['network'],
});
