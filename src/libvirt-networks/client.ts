import {
  ConnectionError,
  isNoNetwork,
  LibvirtClient,
  ListNetworks,
  type Network,
  NetworkXml,
} from 'node-libvirt';
import { parseLibvirtNetwork } from '../libvirt/network-xml.ts';
import type { KnownNetwork, NetworkAction } from './decide.ts';
import { keepNetwork } from './saved-network.ts';

/** How long a libvirtd is waited for that is there and does not answer, in milliseconds. */
const patience = 10_000;

/** Gives work a connection of its own; null when no libvirtd answers. Never to be called in a hook. */
export async function withLibvirt<T>(work: (client: LibvirtClient) => Promise<T>): Promise<T | null> {
  const client = new LibvirtClient({ handshakeTimeoutMs: patience, callTimeoutMs: patience });
  const connected = new Promise<boolean>(resolve => {
    client.on('connected', ({ drivers }) => drivers.includes('network') && resolve(true));
    client.on('notice', ({ kind }) => kind === 'connect-failed' && resolve(false));
  });
  client.start();
  try {
    return (await connected) ? await work(client) : null;
  } catch (error) {
    if (error instanceof ConnectionError) return null;
    throw error;
  } finally {
    await client.close();
  }
}

/** libvirt's networks, as it tells of them. */
export async function listNetworks(client: LibvirtClient): Promise<KnownNetwork[]> {
  const active = new Set((await client.connectListAllNetworks(ListNetworks.ACTIVE)).map(({ uuid }) => uuid));
  const networks: KnownNetwork[] = [];
  for (const network of await client.connectListAllNetworks()) {
    try {
      networks.push(...(await describe(client, network, active.has(network.uuid))));
    } catch (error) {
      if (!isNoNetwork(error)) throw error;
    }
  }
  return networks;
}

async function describe(client: LibvirtClient, network: Network, active: boolean): Promise<KnownNetwork[]> {
  const persistent = await client.networkIsPersistent(network);
  const xml = await client.networkGetXmlDesc(network, persistent ? NetworkXml.INACTIVE : 0);
  const parsed = parseLibvirtNetwork(xml);
  const autostart = persistent && (await client.networkGetAutostart(network));
  return parsed.ok ? [{ ...parsed.value, xml, active, autostart, persistent }] : [];
}

/** Carries out a decision by libvirt itself. */
export async function carryOut(client: LibvirtClient, action: NetworkAction): Promise<void> {
  if (action.do === 'keep') return keepNetwork(action.network);
  if (action.do === 'define') {
    await client.networkDefineXml(action.xml);
    return;
  }
  const network = await client.networkLookupByName(action.name);
  switch (action.do) {
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
