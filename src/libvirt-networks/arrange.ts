// Brings libvirt's networks in line with the configuration, by calls to libvirt. Never called in a hook,
// where libvirt must not be called.
import { resolve } from 'node:path';
import { ConnectionError, type LibvirtClient } from 'node-libvirt';
import { isAnswer } from '../answers.ts';
import type { Config } from '../config/config.ts';
import { definedDomains, runningDomains } from '../libvirt/definitions.ts';
import { listDirectory, readFileOrNull } from '../system/files.ts';
import { machineId } from '../system/machine-id.ts';
import { libvirtPaths, paths } from '../system/paths.ts';
import { run } from '../system/run.ts';
import {
  type DefaultFate,
  decideDefaultFates,
  decideNetworks,
  decideRemovals,
  defaultName,
  findSuccessor,
  hasOwnBridge,
  type KnownNetwork,
  type NetworkDecision,
} from './decide.ts';
import { changeNetwork, listNetworks, withLibvirt, withNetworksLock } from './network-calls.ts';
import { markOfFile } from './own-network.ts';
import { saveNetwork } from './saved-network.ts';

const linksDirectory = '/sys/class/net';

/** A configuration, with the path of its file: libvirt's networks follow the file that they were made from. */
export interface ConfigOfFile {
  readonly config: Config;
  readonly path: string;
}

/**
 * Changes libvirt's networks as the configuration asks, but leaves those alone whose bridge `isTakenDown`, and does
 * not start those that are `resting`. Returns the changes, and the problems that prevented others. Throws
 * LockTimeout, and LibvirtError when libvirt refuses a change.
 */
export function arrangeNetworks(
  client: LibvirtClient,
  { config, path }: ConfigOfFile,
  isTakenDown: (bridge: string) => boolean,
  resting: ReadonlySet<string> = new Set(),
): Promise<NetworkDecision> {
  return withNetworksLock(async () => {
    const known = await listNetworks(client);
    const decision = decideNetworks(config, known, {
      defined: definedDomains(),
      running: runningDomains(),
      defaultPorts: findSuccessor(config) === null ? [] : await readDefaultPorts(known),
      machineId: machineId(),
      file: markOfFile(resolve(path), paths.config),
      // With the lock: `virlan down` records it before it restores libvirt's networks.
      takenDown: new Set(config.networks.filter(({ bridge }) => isTakenDown(bridge)).map(({ name }) => name)),
      resting,
    });
    return carryOut(client, decision);
  });
}

/**
 * Removes virlan's networks of these names that are not in use. Returns null when libvirtd does not answer. Throws
 * LockTimeout, and LibvirtError when libvirt refuses a change.
 */
export function removeNetworks(names: ReadonlySet<string>): Promise<NetworkDecision | null> {
  return withNetworkDriver(client =>
    withNetworksLock(async () => {
      const facts = { running: runningDomains(), machineId: machineId() };
      return carryOut(client, decideRemovals(names, await listNetworks(client), facts));
    }),
  );
}

/** A libvirtd that ends meanwhile counts as one that does not answer: the rest follows when it is back. */
async function withNetworkDriver<T>(work: (client: LibvirtClient) => Promise<T>): Promise<T | null> {
  try {
    return await withLibvirt('network', work);
  } catch (error) {
    if (error instanceof ConnectionError) return null;
    throw error;
  }
}

async function carryOut(client: LibvirtClient, decision: NetworkDecision): Promise<NetworkDecision> {
  for (const action of decision.actions) {
    if (action.kind === 'save') saveNetwork(action.network);
    else await changeNetwork(client, action);
  }
  return decision;
}

/** Opens a connection for one call of `arrangeNetworks`. Returns null when libvirtd does not answer. */
export function arrangeNetworksOnce(
  from: ConfigOfFile,
  isTakenDown: (bridge: string) => boolean,
): Promise<NetworkDecision | null> {
  return withNetworkDriver(client => arrangeNetworks(client, from, isTakenDown));
}

/**
 * Returns the links that lose their way when the bridge of `default` is removed, those of other programs too: its
 * ports, and devices on top of it, such as macvlans of containers. None if libvirt did not make the bridge.
 */
async function readDefaultPorts(known: readonly KnownNetwork[]): Promise<string[]> {
  const bridge = known.find(network => network.name === defaultName && hasOwnBridge(network))?.bridge;
  const [link] = listDirectory(linksDirectory).filter(name => name === bridge);
  if (link === undefined) return [];
  const upper = listDirectory(`${linksDirectory}/${link}`).flatMap(
    name => /^upper_(.+)/.exec(name)?.[1] ?? [],
  );
  const here = [...listDirectory(`${linksDirectory}/${link}/brif`), ...upper];
  // The NIC of libvirt's own in the bridge, before libvirt 5.0.
  return [...here.filter(port => port !== `${link}-nic`), ...(await readElsewhere(link, [link, ...upper]))];
}

/**
 * Returns the MACs of devices on top of a bridge that are in other network namespaces. A macvlan adds its MAC to those
 * that its lower link receives, which `bridge fdb` lists as the link's own.
 */
async function readElsewhere(bridge: string, here: readonly string[]): Promise<string[]> {
  const known = new Set(here.map(link => readFileOrNull(`${linksDirectory}/${link}/address`)?.trim()));
  const listing = await run('bridge', ['-json', 'fdb', 'show', 'dev', bridge]).catch(error => {
    // Without an answer `default` stays.
    if (!isAnswer(error)) throw error;
    return '[]';
  });
  const entries: readonly { readonly mac: string; readonly flags: readonly string[] }[] = JSON.parse(listing);
  return entries
    .filter(({ mac, flags }) => flags.includes('self') && !isMulticast(mac) && !known.has(mac))
    .map(({ mac }) => mac);
}

/** Returns whether the lowest bit of the first byte is set. */
function isMulticast(mac: string): boolean {
  return Number.parseInt(mac.slice(0, 2), 16) % 2 === 1;
}

/** Returns what follows for machines and tools from what happens, or happened, to `default`. */
export function readDefaultFates(config: Config): DefaultFate[] {
  return decideDefaultFates(config, readDefaultXml(), definedDomains());
}

/** Returns what followed for machines and tools from the removal of `default`; nothing while it is there. */
export function readRemovedDefaultFates(config: Config): DefaultFate[] {
  return readDefaultXml() === null ? decideDefaultFates(config, null, definedDomains()) : [];
}

function readDefaultXml(): string | null {
  return readFileOrNull(`${libvirtPaths.networks}/${defaultName}.xml`);
}
