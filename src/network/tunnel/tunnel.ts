// The tunnel of a network to the other hosts of its cluster: what is desired and found of it, and the execution
// of its steps. Loaded only where there is a tunnel, or is to be one.

import type { Mac } from '../../address/mac.ts';
import { vxlanPort } from '../../address/port.ts';
import { isAnswer } from '../../answers.ts';
import { compareBgp, type FoundBgp, removeBgp } from '../../cluster/bgp.ts';
import { parseTunnelTable, peerCommands } from '../../cluster/fdb.ts';
import { filterTables, loadFilterScript, removeFilterScript, renderFilter } from '../../cluster/filter.ts';
import { compareTunnels, type FoundTunnel, type Tunnel, type TunnelChange } from '../../cluster/tunnel.ts';
import type { NetworkConfig } from '../../config/config.ts';
import { VirlanError } from '../../errors.ts';
import { compareListings } from '../../firewall/drift.ts';
import { loadTables, runScript } from '../../firewall/nft-script.ts';
import { listTimeoutSeconds } from '../../firewall/rules-reader.ts';
import { linkMac } from '../../identity/formula.ts';
import { machineId } from '../../system/machine-id.ts';
import { paths } from '../../system/paths.ts';
import { system } from '../../system/system.ts';
import type { Link } from '../kernel/links.ts';
import { readApplied } from '../records/applied-record.ts';
import { tunnelName } from '../state/link-names.ts';
import type { BridgeState } from '../state/state.ts';
import type { Step, StepOf } from '../steps/steps.ts';

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
  const { vni, address: local, peers, evpn } = tunnel;
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
    hosts: evpn?.hosts ? { kind: 'prefix', prefix: evpn.hosts } : { kind: 'addresses', addresses: peers },
    gateway: { mac: link.mac, ip: gateway },
  });
  return {
    mac,
    mtu: link.mtu,
    vni,
    local,
    peers: evpn === null ? peers : [],
    learns: evpn === null,
    speaker: evpn === null ? null : { as: evpn.as, address: local, neighbours: peers },
    filter,
  };
}

function ownMac(bridge: string): Mac {
  return linkMac('tunnel', machineId(), bridge);
}

/** Returns the tunnel's link; null if there is none, or if it is somebody else's. */
function ownLink(bridge: string, links: readonly Link[]): Link | null {
  const link = links.find(({ name }) => name === tunnelName(bridge));
  return link !== undefined && link.vxlan !== null && link.mac === ownMac(bridge) ? link : null;
}

/** Reads the tunnel of a bridge, and BGP where the desired tunnel needs it. Throws CommandError. */
export async function readTunnel(
  bridge: string,
  links: readonly Link[],
  wanted: Tunnel | null,
): Promise<FoundTunnel> {
  const link = ownLink(bridge, links);
  const needsBgp = wanted !== null && wanted.speaker !== null;
  const [bgp, fdb, listing] = await Promise.all([
    needsBgp || system.exists(paths.bgp) ? readSharedBgp(bridge, links) : null,
    link === null ? '' : system.run('bridge', ['-json', 'fdb', 'show', 'dev', link.name]),
    listFilter(bridge),
  ]);
  const { tunnel: record } = readApplied(bridge);
  const isComparable = record !== null && listing.length > 0;
  return {
    link: link === null ? null : linkOf(link),
    bgp,
    ...parseTunnelTable(fdb),
    filter: {
      present: listing.length > 0,
      loaded: record?.filter ?? null,
      drift: isComparable ? compareListings(record.listing, listing) : [],
    },
  };
}

async function readSharedBgp(bridge: string, links: readonly Link[]): Promise<FoundBgp> {
  const isShared = links.some(
    ({ master, vxlan, ...link }) =>
      master !== null &&
      master !== bridge &&
      vxlan?.learning === false &&
      link.name === tunnelName(master) &&
      link.mac === ownMac(master),
  );
  const { readBgp } = await import('./bgp.ts');
  return { ...(await readBgp()), isShared };
}

function linkOf({ mac, mtu, master, up, vxlan, port }: Link): FoundTunnel['link'] {
  if (mac === null) return null;
  const { learning = true, neigh_suppress = false } = port?.options ?? {};
  const isWhole = vxlan !== null && vxlan.port === vxlanPort && vxlan.local !== null;
  const end = isWhole ? { vni: vxlan.vni, local: vxlan.local, learns: vxlan.learning } : null;
  return { mac, mtu, master, up, end, isForEvpn: !learning && neigh_suppress };
}

/** Returns the steps from the tunnel that is found to the desired one. */
export function planTunnel(bridge: string, wanted: Tunnel | null, found: FoundTunnel): Step[] {
  const ofLink = compareTunnels(bridge, wanted, found).map(change => stepOf(bridge, change));
  return [...planBgp(wanted, found), ...ofLink];
}

/** BGP is configured once for all networks, and needed for as long as one of them needs it. */
function planBgp(wanted: Tunnel | null, { bgp }: FoundTunnel): Step[] {
  if (bgp === null) return [];
  if (wanted === null || wanted.speaker === null) {
    const change = bgp.isShared ? null : removeBgp(bgp);
    return change === null ? [] : [{ kind: 'withdraw bgp', ...change }];
  }
  const change = compareBgp(wanted.speaker, bgp);
  return change === null ? [] : [{ kind: 'configure bgp', ...change }];
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
    await loadTables(system, loadFilterScript(bridge, tunnel.filter));
  } catch (error) {
    // The error of nft says why.
    await system.run('ip', ['link', 'set', 'dev', link, 'nomaster']).catch(() => '');
    throw error;
  }
  await system.run('ip', ['link', 'set', 'dev', link, 'master', bridge, 'up']);
  if (tunnel.learns) return;
  // A port that leaves a bridge forgets its options.
  const options = ['learning', 'off', 'neigh_suppress', 'on'];
  await system.run('ip', ['link', 'set', 'dev', link, 'type', 'bridge_slave', ...options]);
}

/** Removes the filter. Throws CommandError. */
export async function removeFilter(bridge: string): Promise<void> {
  await runScript(system, removeFilterScript(bridge));
}

/** Lists the filter. A failing nft means that a table is missing; throws CommandError when it cannot answer. */
export async function listFilter(bridge: string): Promise<string[]> {
  const listings = await Promise.all(filterTables(bridge).map(listTable));
  return listings.flatMap(text => text.split('\n')).filter(line => line.trim() !== '');
}

async function listTable(table: string): Promise<string> {
  const args = ['--stateless', '--numeric', 'list', 'table', ...table.split(' ')];
  try {
    return await system.run('nft', args, { timeoutSeconds: listTimeoutSeconds });
  } catch (error) {
    if (isAnswer(error)) return '';
    throw error;
  }
}
