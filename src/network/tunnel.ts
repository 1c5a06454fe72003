// The tunnel of a network to the other hosts of its cluster: what is desired and found of it, and the execution
// of its steps. Loaded only where there is a tunnel, or is to be one.

import type { Mac } from '../address/mac.ts';
import { vxlanPort } from '../address/port.ts';
import { parseTunnelTable, peerCommands } from '../cluster/fdb.ts';
import {
  compareFilters,
  filterTables,
  loadFilterScript,
  removeFilterScript,
  renderFilter,
} from '../cluster/filter.ts';
import { compareTunnels, type FoundTunnel, type Tunnel, type TunnelChange } from '../cluster/tunnel.ts';
import type { NetworkConfig } from '../config/config.ts';
import { CommandError, VirlanError } from '../errors.ts';
import { listTimeoutSeconds } from '../firewall/rules-reader.ts';
import { linkMac } from '../identity/formula.ts';
import { machineId } from '../system/machine-id.ts';
import { system } from '../system/system.ts';
import { readApplied } from './applied-record.ts';
import { tunnelName } from './desired.ts';
import type { Link } from './links.ts';
import type { BridgeState } from './state.ts';
import type { Step, StepOf } from './steps.ts';

/**
 * Returns the tunnel that a configuration calls for; null for none. `link` is the bridge. Throws VirlanError
 * 'wrong-link' if another link has the name of the tunnel's.
 */
export function desiredTunnel(
  { bridge, gateway, tunnel }: Pick<NetworkConfig, 'bridge' | 'gateway' | 'tunnel'>,
  link: Pick<BridgeState, 'mac' | 'mtu'>,
  links: readonly Link[],
): Tunnel | null {
  if (tunnel === null) return null;
  const { vni, address: local, peers } = tunnel;
  const mac = ownMac(bridge);
  const name = tunnelName(bridge);
  if (links.some(each => each.name === name) && ownLink(bridge, links) === null) {
    const message = `${name} is a link that virlan did not make: rename it, or remove vni = from virlan.ini`;
    throw new VirlanError('wrong-link', message);
  }
  const filter = renderFilter({
    bridge,
    link: tunnelName(bridge),
    mac,
    vni,
    peers,
    gateway: { mac: link.mac, ip: gateway },
  });
  return { mac, mtu: link.mtu, vni, local, peers, filter };
}

function ownMac(bridge: string): Mac {
  return linkMac('tunnel', machineId(), bridge);
}

/** Returns the tunnel's link; null if there is none, or if it is somebody else's. */
function ownLink(bridge: string, links: readonly Link[]): Link | null {
  const link = links.find(({ name }) => name === tunnelName(bridge));
  return link !== undefined && link.vxlan !== null && link.mac === ownMac(bridge) ? link : null;
}

/** Reads what exists of the tunnel of a bridge. Throws CommandError. */
export async function readTunnel(bridge: string, links: readonly Link[]): Promise<FoundTunnel> {
  const link = ownLink(bridge, links);
  const [fdb, listing] = await Promise.all([
    link === null ? '' : system.run('bridge', ['-json', 'fdb', 'show', 'dev', link.name]),
    listFilter(bridge),
  ]);
  const { tunnel: record } = readApplied(bridge);
  const isComparable = record !== null && listing.length > 0;
  return {
    link: link === null ? null : linkOf(link),
    ...parseTunnelTable(fdb),
    filter: {
      present: listing.length > 0,
      loaded: record?.filter ?? null,
      drift: isComparable ? compareFilters(record.listing, listing) : [],
    },
  };
}

function linkOf({ mac, mtu, master, up, vxlan }: Link): FoundTunnel['link'] {
  const isWhole = vxlan !== null && vxlan.port === vxlanPort && vxlan.learning && vxlan.local !== null;
  if (mac === null) return null;
  return { mac, mtu, master, up, end: isWhole ? { vni: vxlan.vni, local: vxlan.local } : null };
}

/** Returns the steps from the tunnel that is found to the desired one. */
export function planTunnel(bridge: string, wanted: Tunnel | null, found: FoundTunnel): Step[] {
  return compareTunnels(bridge, wanted, found).map(change => stepOf(bridge, change));
}

function stepOf(bridge: string, change: TunnelChange): Step {
  const link = tunnelName(bridge);
  switch (change.kind) {
    case 'remove link':
      return { kind: 'remove link', link, type: 'vxlan' };
    case 'add link':
      return { kind: 'add tunnel', link, tunnel: change.tunnel };
    case 'set mtu':
      return { kind: 'set link', link, attribute: 'mtu', from: change.from, to: change.to };
    case 'set peers':
      return { kind: 'set peers', link, missing: change.missing, surplus: change.surplus };
    case 'connect':
      return { kind: 'connect tunnel', link, bridge, tunnel: change.tunnel, drift: change.drift };
    case 'remove filter':
      return { kind: 'remove tunnel filter', bridge };
  }
}

/** Sets to which hosts frames go whose receiver is not known. Throws CommandError. */
export async function setPeers({ link, missing, surplus }: StepOf<'set peers'>): Promise<void> {
  const commands = peerCommands(link, missing, surplus);
  await system.run('bridge', ['-batch', '-'], { input: commands.map(each => `${each}\n`).join('') });
}

/**
 * Puts the link into the bridge once the filter is in force. A link without a filter is taken out of it: the
 * hosts would answer the machines of others. Throws CommandError.
 */
export async function connectTunnel({ link, bridge, tunnel }: StepOf<'connect tunnel'>): Promise<void> {
  try {
    await system.run('nft', ['-f', '-'], { input: loadFilterScript(bridge, tunnel.filter) });
  } catch (error) {
    // The error of nft says why.
    await system.run('ip', ['link', 'set', 'dev', link, 'nomaster']).catch(() => '');
    throw error;
  }
  await system.run('ip', ['link', 'set', 'dev', link, 'master', bridge, 'up']);
}

/** Removes the filter. Throws CommandError. */
export async function removeFilter(bridge: string): Promise<void> {
  await system.run('nft', ['-f', '-'], { input: removeFilterScript(bridge) });
}

/** Lists the filter. A failing nft means that a table is missing; throws CommandError when it hangs. */
export async function listFilter(bridge: string): Promise<string[]> {
  const listings = await Promise.all(filterTables(bridge).map(listTable));
  return listings.flatMap(text => text.split('\n')).filter(line => line.trim() !== '');
}

async function listTable(table: string): Promise<string> {
  const args = ['--stateless', '--numeric', 'list', 'table', ...table.split(' ')];
  try {
    return await system.run('nft', args, { timeoutSeconds: listTimeoutSeconds });
  } catch (error) {
    if (error instanceof CommandError && error.reason !== 'timeout') return '';
    throw error;
  }
}
