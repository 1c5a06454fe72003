// Finds the daemon that serves a driver. A host runs either libvirtd, which serves all of them, or one daemon
// per driver: virtqemud and virtnetworkd (https://libvirt.org/daemons.html).

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Driver } from './procedures.ts';

/** The daemons of a host: libvirtd ('monolithic') or one per driver ('modular'); 'auto' detects it. */
export type Layout = 'auto' | 'monolithic' | 'modular';

/** A daemon's socket and what it is used for. */
export interface Endpoint {
  /** Path of the daemon's socket. */
  readonly socket: string;
  /** The connection URI to open on it. */
  readonly uri: string;
  /** The drivers this daemon is used for; they decide which events are registered for. */
  readonly drivers: readonly Driver[];
}

/**
 * Returns the daemon that serves domains. 'auto' decides as libvirt's own client does (remoteGetUNIXSocket):
 * the modular daemon if its socket file exists, whether a process listens on it or not.
 */
export function locateDomains(socketDirectory: string, layout: Layout): Endpoint {
  const modular = join(socketDirectory, 'virtqemud-sock');
  const uri = 'qemu:///system';
  return layout === 'modular' || (layout === 'auto' && existsSync(modular))
    ? { socket: modular, uri, drivers: ['domain'] }
    : { socket: join(socketDirectory, 'libvirt-sock'), uri, drivers: ['domain', 'network'] };
}

/**
 * Returns the daemon that serves networks on a host with modular daemons. virtqemud would forward network
 * calls, but keeps its own connection to virtnetworkd when that restarts, and then network events stop
 * without an error (remoteGetNetworkConn).
 */
export function locateNetworks(socketDirectory: string): Endpoint {
  return {
    socket: join(socketDirectory, 'virtnetworkd-sock'),
    uri: 'network:///system',
    drivers: ['network'],
  };
}
