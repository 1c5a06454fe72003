// NetworkManager's own dnsmasq (dns=dnsmasq in NetworkManager.conf(5)), which the programs of such a host ask: a
// file tells it to ask at the gateway for the names and addresses of a network.
//   server=/k8s-br0.internal/192.168.100.1
//   server=/100.168.192.in-addr.arpa/192.168.100.1
import { formatIp } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import type { System } from '../system/system.ts';
import { reverseZones } from './reverse-zones.ts';

export interface NetworkManagerReading {
  /** The resolver that it runs for the host: its dnsmasq or none; unknown while NetworkManager does not run. */
  readonly resolver: 'dnsmasq' | 'none' | 'unknown';
  /** The text of virlan's file; null for none. */
  readonly file: string | null;
}

const heading = '# Written by virlan: the names of its machines.\n';

/** Longest time for one call: it answers within milliseconds. */
const timeoutSeconds = 2;

/** Restarting its dnsmasq, which reads its files only then, may take longer. */
const reloadTimeoutSeconds = 10;

/** Reads what NetworkManager does for the host, and virlan's file about a network. */
export async function readNetworkManager(system: System, bridge: string): Promise<NetworkManagerReading> {
  return { resolver: await readResolver(system), file: system.readFile(namesFile(bridge)) };
}

/** Returns the path of virlan's file about a network. */
function namesFile(bridge: string): string {
  return `/etc/NetworkManager/dnsmasq.d/virlan-${bridge}.conf`;
}

/** Returns the text of that file; null with `names = no`. */
export function wantedNamesFile(network: NetworkConfig): string | null {
  const { names, domain, gateway } = network;
  if (names === 'no') return null;
  const lines = [domain, ...reverseZones(network)].map(zone => `server=/${zone}/${formatIp(gateway)}\n`);
  return `${heading}${lines.join('')}`;
}

/** Writes the file. Throws CommandError and WriteError, as `forgetNetworkManager` does. */
export async function tellNetworkManager(system: System, bridge: string, text: string): Promise<void> {
  system.writeFile(namesFile(bridge), text);
  await restartDnsmasq(system);
}

/** Removes the file. */
export async function forgetNetworkManager(system: System, bridge: string): Promise<void> {
  system.removeFile(namesFile(bridge));
  await restartDnsmasq(system);
}

const service = 'org.freedesktop.NetworkManager';

async function readResolver(system: System): Promise<NetworkManagerReading['resolver']> {
  const canAsk = ['/run/NetworkManager', '/run/dbus/system_bus_socket'].every(system.exists);
  if (!canAsk || !system.isInstalled('busctl')) return 'unknown';
  const object = [service, '/org/freedesktop/NetworkManager/DnsManager', `${service}.DnsManager`];
  try {
    const reply = JSON.parse(await busctl(system, ['get-property', ...object, 'Mode'], timeoutSeconds)) as {
      readonly data?: unknown;
    };
    return reply.data === 'dnsmasq' ? 'dnsmasq' : 'none';
  } catch {
    // It does not run, or not yet: /run/NetworkManager stays.
    return 'unknown';
  }
}

/** NM_MANAGER_RELOAD_FLAG_DNS_FULL of NetworkManager's D-Bus interface: restarts the DNS plugin. */
const dnsFull = '4';

async function restartDnsmasq(system: System): Promise<void> {
  if ((await readResolver(system)) !== 'dnsmasq') return;
  const object = [service, '/org/freedesktop/NetworkManager', service];
  await busctl(system, ['call', ...object, 'Reload', 'u', dnsFull], reloadTimeoutSeconds);
}

function busctl(system: System, args: readonly string[], seconds: number): Promise<string> {
  const options = ['--system', '--json=short', '--auto-start=no', `--timeout=${seconds}`];
  return system.run('busctl', [...options, ...args], { timeoutSeconds: seconds + 1 });
}
