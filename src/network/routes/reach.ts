// Derives what machines of a network reach by way of the host. Pure.
import type { IpAddress } from '../../address/ip.ts';
import type { NetworkConfig } from '../../config/config.ts';
import { waysOut } from '../../firewall/ruleset.ts';
import type { LinksAndRoutes } from '../kernel/links.ts';
import { defaultLinks, linksOfRoutes } from './route-links.ts';

/** The networks that machines reach by way of the host. */
export interface Reach {
  /** The links to other networks than the outside; names are hostile. */
  readonly besides: readonly string[];
  /**
   * The address of the host to which a router of the LAN has to send packets for machines; null where it has
   * to do nothing, or where the host has no such address.
   */
  readonly via: IpAddress | null;
}

/** Returns what machines of a network reach besides each other and the host. */
export function findReach(network: NetworkConfig, host: LinksAndRoutes): Reach {
  const { mode, bridge, others } = network;
  if (mode !== 'nat' && mode !== 'routed') return { besides: [], via: null };
  const defaults = defaultLinks(host);
  const ways = waysOut(network, defaults);
  const reached = others.filter(({ isReached }) => isReached).map(other => other.bridge);
  const own = ['lo', bridge, ...others.map(other => other.bridge), ...defaults];
  const behind = ways === 'any' ? linksOfRoutes(host).filter(link => !own.includes(link)) : [];
  const [uplink] = ways === 'any' ? defaults : ways;
  const [address] = host.links.find(({ name }) => name === uplink)?.addresses ?? [];
  return { besides: [...reached, ...behind], via: mode === 'routed' ? (address?.ip ?? null) : null };
}
