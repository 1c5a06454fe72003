// Decides how the host itself finds the names of a network's machines.
import { isDeepStrictEqual } from 'node:util';
import type { NetworkConfig } from '../config/config.ts';
import type { System } from '../system/system.ts';
import { type NetworkManagerReading, readNetworkManager, wantedNamesFile } from './network-manager.ts';
import { type ResolvedReading, readResolved, wantedLinkNames } from './resolved.ts';

/** The readings of the host with regard to one network. */
export interface HostNamesReading {
  /** Null where systemd-resolved does not run. */
  readonly resolved: ResolvedReading | null;
  readonly networkManager: NetworkManagerReading;
  /** True if programs of the host ask systemd-resolved, by its stub or by libnss-resolve. */
  readonly asksResolved: boolean;
  /** True if they ask a name server on 127.0.0.1, as where NetworkManager runs its dnsmasq. */
  readonly asksLoopback: boolean;
  /** True if programs of the host ask libnss-libvirt. */
  readonly asksLibvirt: boolean;
}

/** The way by which the host finds names, or the reason why it finds none; `off`: virlan.ini leaves that alone. */
export type HostNames = 'resolved' | 'network-manager' | 'nss' | 'resolved-not-asked' | 'not-found' | 'off';

/** Reads the host. Throws CommandError when systemd-resolved does not answer. */
export async function readHostNames(system: System, bridge: string): Promise<HostNamesReading> {
  const nsswitch = /^\s*hosts:(.*)$/m.exec(system.readFile('/etc/nsswitch.conf') ?? '')?.[1] ?? '';
  const sources = nsswitch.split(/[\s[]+/);
  const resolvConf = system.readFile('/etc/resolv.conf') ?? '';
  const [resolved, networkManager] = await Promise.all([
    readResolved(system, bridge),
    readNetworkManager(system, bridge),
  ]);
  return {
    resolved,
    networkManager,
    asksLoopback: /^\s*nameserver\s+127\.0\.[01]\.1\b/m.test(resolvConf),
    // Both addresses of the stub: resolved.conf(5), DNSStubListener.
    asksResolved: sources.includes('resolve') || /^\s*nameserver\s+127\.0\.0\.5[34]\b/m.test(resolvConf),
    asksLibvirt: sources.includes('libvirt') || sources.includes('libvirt_guest'),
  };
}

/** Returns how the host finds the names of a network. */
export function judgeHostNames(network: NetworkConfig, reading: HostNamesReading): HostNames {
  const wanted = wantedLinkNames(network);
  const isTold = wanted !== null && isDeepStrictEqual(reading.resolved?.link, wanted);
  if (isTold && reading.asksResolved) return 'resolved';
  const { resolver, file } = reading.networkManager;
  if (resolver === 'dnsmasq' && reading.asksLoopback && file === wantedNamesFile(network) && file !== null)
    return 'network-manager';
  if (reading.asksLibvirt) return 'nss';
  if (wanted === null) return 'off';
  return isTold ? 'resolved-not-asked' : 'not-found';
}
