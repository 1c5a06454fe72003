// Calls of libvirt's network API: lists networks and changes them. Never called in a hook.

import {
  type Driver,
  isNoNetwork,
  LibvirtClient,
  ListNetworks,
  type Network,
  NetworkXml,
} from 'node-libvirt';
import { countConnections, parseLibvirtNetwork } from '../libvirt/network-xml.ts';
import { withLock } from '../system/lock.ts';
import { paths } from '../system/paths.ts';
import type { KnownNetwork, NetworkChange } from './decide.ts';

/** Longest wait for a libvirtd that accepts the connection but does not answer. */
const answerTimeoutMs = 10_000;

/** Longest wait for another virlan process that changes libvirt's networks. */
const lockTimeoutSeconds = 30;

/**
 * Runs work while no other virlan process arranges or restores libvirt's networks, nor removes the record of
 * `default`. Throws LockTimeout. Meanwhile libvirt runs hooks, which take the other locks: nobody may hold one of
 * those here.
 */
export function withNetworksLock<T>(work: () => Promise<T>): Promise<T> {
  return withLock(paths.libvirtNetworksLock, lockTimeoutSeconds, work);
}

/**
 * Runs `work` with a connection to the daemon of a driver, which is closed afterwards. Returns null when that daemon
 * does not answer. Throws what `work` throws: ConnectionError when the connection is lost.
 */
export async function withLibvirt<T>(
  driver: Driver,
  work: (client: LibvirtClient) => Promise<T>,
): Promise<T | null> {
  const client = new LibvirtClient({ handshakeTimeoutMs: answerTimeoutMs });
  const connected = new Promise<boolean>(resolve => {
    client.on('connected', ({ drivers }) => drivers.includes(driver) && resolve(true));
    client.on('notice', ({ kind }) => kind === 'connect-failed' && resolve(false));
  });
  client.start();
  try {
    return (await connected) ? await work(client) : null;
  } finally {
    await client.close();
  }
}

/** Returns libvirt's networks, without those that are removed while they are listed. */
export async function listNetworks(client: LibvirtClient): Promise<KnownNetwork[]> {
  const active = new Set((await client.connectListAllNetworks(ListNetworks.ACTIVE)).map(({ uuid }) => uuid));
  const networks: KnownNetwork[] = [];
  for (const network of await client.connectListAllNetworks()) {
    const known = await readNetwork(client, network, active.has(network.uuid));
    if (known !== null) networks.push(known);
  }
  return networks;
}

/** Returns null for a network that was removed meanwhile or whose XML cannot be read. */
async function readNetwork(
  client: LibvirtClient,
  network: Network,
  active: boolean,
): Promise<KnownNetwork | null> {
  try {
    const persistent = await client.networkIsPersistent(network);
    const xml = await client.networkGetXmlDesc(network, persistent ? NetworkXml.INACTIVE : 0);
    const parsed = parseLibvirtNetwork(xml);
    const autostart = persistent && (await client.networkGetAutostart(network));
    const connections = active ? countConnections(await client.networkGetXmlDesc(network, 0)) : 0;
    return parsed.ok ? { ...parsed.value, xml, active, autostart, persistent, connections } : null;
  } catch (error) {
    if (isNoNetwork(error)) return null;
    throw error;
  }
}

/** Makes one change by libvirt. Throws LibvirtError when libvirt refuses it. */
export async function changeNetwork(client: LibvirtClient, change: NetworkChange): Promise<void> {
  if (change.kind === 'define') {
    await client.networkDefineXml(change.xml);
    return;
  }
  const network = await client.networkLookupByName(change.name);
  switch (change.kind) {
    case 'start':
      return client.networkCreate(network);
    case 'autostart':
      return client.networkSetAutostart(network, true);
    case 'destroy':
      return client.networkDestroy(network);
    case 'undefine':
      return client.networkUndefine(network);
  }
}
