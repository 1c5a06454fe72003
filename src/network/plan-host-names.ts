// Plans what the host's own resolver is told of a network. Pure.
import { isDeepStrictEqual } from 'node:util';
import { formatIp } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import type { HostNamesReading } from '../host-names/host-names.ts';
import { wantedNamesFile } from '../host-names/network-manager.ts';
import { wantedLinkNames } from '../host-names/resolved.ts';
import type { Step } from './steps/steps.ts';

/** Returns the steps from what the host's resolvers know of a network to what they should know. */
export function planHostNames(network: NetworkConfig, reading: HostNamesReading): Step[] {
  return [...planResolved(network, reading), ...planNetworkManager(network, reading)];
}

function planResolved(network: NetworkConfig, { resolved }: HostNamesReading): Step[] {
  // While systemd-networkd manages the link, it refuses every change (LinkBusy).
  if (resolved === null || resolved.isManaged) return [];
  const { bridge, gateway } = network;
  const { link: from } = resolved;
  const to = wantedLinkNames(network);
  if (to === null)
    return from?.servers.includes(formatIp(gateway)) === true ? [{ kind: 'revert resolved', bridge }] : [];
  return isDeepStrictEqual(from, to) ? [] : [{ kind: 'tell resolved', bridge, from, to }];
}

function planNetworkManager(network: NetworkConfig, { networkManager }: HostNamesReading): Step[] {
  const { bridge } = network;
  const { resolver, file: from } = networkManager;
  // While it does not run, such as during a restart, its file stays.
  if (resolver === 'unknown') return [];
  const to = resolver === 'dnsmasq' ? wantedNamesFile(network) : null;
  if (to === from) return [];
  return to === null
    ? [{ kind: 'forget NetworkManager', bridge }]
    : [{ kind: 'tell NetworkManager', bridge, from, to }];
}

/** Returns the steps after which the host's resolvers know nothing of a bridge. */
export function planForgetting(bridge: string, reading: HostNamesReading | null): Step[] {
  const resolved = reading?.resolved ?? null;
  const isTold = resolved?.link !== null && (resolved?.link.servers.length ?? 0) > 0;
  return [
    ...(isTold && resolved?.isManaged === false ? [{ kind: 'revert resolved', bridge } as const] : []),
    ...((reading?.networkManager.file ?? null) === null
      ? []
      : [{ kind: 'forget NetworkManager', bridge } as const]),
  ];
}
