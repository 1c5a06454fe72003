import type { Config } from '../config/config.ts';
import { definedDomains, runningDomains } from '../libvirt/definitions.ts';
import { parseLibvirtNetwork } from '../libvirt/network-xml.ts';
import {
  ConnectionError,
  isNoNetwork,
  LibvirtClient,
  ListNetworks,
  type Network,
  NetworkXml,
} from '../libvirt/rpc/index.ts';
import { decideNetworks, type KnownNetwork, type NetworkAction } from './decide.ts';
import { keepNetwork } from './kept.ts';

/** What was done about libvirt's networks, and what could not be. */
export interface Arranged {
  readonly actions: readonly NetworkAction[];
  readonly problems: readonly string[];
}

/** Brings libvirt's networks in line with the configuration. Never to be called in a hook. */
export async function arrangeNetworks(client: LibvirtClient, config: Config): Promise<Arranged> {
  const decision = decideNetworks(config, await listNetworks(client), definedDomains(), runningDomains());
  for (const action of decision.actions) await carryOut(client, action);
  return decision;
}

/** How long `virlan up` waits for a libvirtd that is there and does not answer, in milliseconds. */
const patience = 10_000;

/** As `arrangeNetworks`, with a connection of its own; null when no libvirtd answers. */
export async function arrangeNetworksOnce(config: Config): Promise<Arranged | null> {
  const client = new LibvirtClient({ handshakeTimeoutMs: patience, callTimeoutMs: patience });
  const connected = new Promise<boolean>(resolve => {
    client.on('connected', ({ drivers }) => drivers.includes('network') && resolve(true));
    client.on('notice', ({ kind }) => kind === 'connect-failed' && resolve(false));
  });
  client.start();
  try {
    return (await connected) ? await arrangeNetworks(client, config) : null;
  } catch (error) {
    if (error instanceof ConnectionError) return null;
    throw error;
  } finally {
    await client.close();
  }
}

async function listNetworks(client: LibvirtClient): Promise<KnownNetwork[]> {
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

async function carryOut(client: LibvirtClient, action: NetworkAction): Promise<void> {
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
