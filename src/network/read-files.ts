// Reads from files what is desired of a network, and what exists of it.
import { basename } from 'node:path';
import type { NetworkConfig } from '../config/config.ts';
import { machineBootLines } from '../dnsmasq/boot-lines.ts';
import { type DnsmasqHost, wildcardLines } from '../dnsmasq/conf.ts';
import { readMachineLines } from '../dnsmasq/machine-lines.ts';
import { writesOtherLeases } from '../dnsmasq/open-leases.ts';
import { dnsmasqPaths, extrasDirectory } from '../dnsmasq/paths.ts';
import { findDnsmasq, isStopped } from '../dnsmasq/process.ts';
import { recordLines } from '../dnsmasq/record-lines.ts';
import { canWatchResolvConf } from '../dnsmasq/upstream.ts';
import type { BackendName } from '../firewall/backend.ts';
import type { UsableFamilies } from '../firewall/backends.ts';
import { type Claim, translationsOfClaims } from '../forwards/choose.ts';
import { readForwards } from '../forwards/read.ts';
import { nicsOn } from '../identity/machine.ts';
import { extrasOf, readPublished, readWanted, type Wanted } from '../identity/reservation-files.ts';
import { activePassThroughs, passThroughNetworks, runningDomains } from '../libvirt/definitions.ts';
import { servedRecords } from '../libvirt/dns-entries.ts';
import { digest } from '../names/digest.ts';
import { modeOrNull } from '../system/files.ts';
import { machineId } from '../system/machine-id.ts';
import { system } from '../system/system.ts';
import { readIfReadable, readOwnIfReadable } from '../system/unreadable-files.ts';
import { desiredNetwork, type HostFacts } from './desired.ts';
import { filtersFrames } from './kernel/bridge-netfilter.ts';
import { hasGlobalIpv6 } from './kernel/links.ts';
import { canMakeDummy, type KernelReading, kernelHasIpv6, readIpv6Addresses } from './kernel/read-kernel.ts';
import { linkSysctl, readSysctls, sysctlPath } from './kernel/sysctl.ts';
import type { HostReading } from './observe.ts';
import { readApplied } from './records/applied-record.ts';
import { readLacking } from './records/lacking.ts';
import {
  installedManagers,
  type LinkManagerName,
  linkManagerNames,
  linkManagers,
} from './state/link-managers.ts';
import { dummyName } from './state/link-names.ts';
import type { DesiredNetwork } from './state/state.ts';

type FilesReading = Omit<HostReading, keyof KernelReading | 'renamedTo' | 'tunnel'>;

/** Reads what is desired, and from files what exists of it. */
export function readFiles(
  network: NetworkConfig,
  available: readonly BackendName[],
  families: UsableFamilies,
) {
  const reservations = readReservations(network);
  // A machine's address is in the ledger.
  const forwards = reservations.kind === 'known' ? readForwards(network) : null;
  const lacking = readLacking(network.bridge);
  const facts = gatherFacts(network, {
    backends: available,
    families,
    lacking,
    wanted: reservations.kind === 'known' ? reservations.wanted : null,
    claims: forwards?.claims ?? null,
  });
  const { network: desired, backend } = desiredNetwork(network, facts);
  return { facts, desired, backend, lacking, reservations, forwards, observed: readObjects(desired) };
}

/** Reads from files what exists of the desired objects. */
export function readObjects(desired: DesiredNetwork): FilesReading {
  const { bridge } = desired;
  const pid = findDnsmasq(bridge);
  return {
    applied: readApplied(bridge),
    sysctls: readSysctls(desired.sysctls.keys(), system.readFile),
    dnsmasq: {
      conf: readConf(bridge),
      pid,
      isStopped: pid !== null && isStopped(pid),
      hasOtherLeases: pid !== null && writesOtherLeases(pid, bridge),
    },
    managerFiles: readManagerFiles(bridge),
    modes: readModes(desired.modes.keys()),
    published:
      desired.reservations.kind === 'leave' ? { reservations: [], names: [] } : readPublished(bridge),
  };
}

/** Returns the text of dnsmasq's configuration; null for none, and for one that cannot be read: it is replaced. */
function readConf(bridge: string): string | null {
  return readOwnIfReadable(dnsmasqPaths(bridge).conf);
}

function readManagerFiles(bridge: string): Map<LinkManagerName, string> {
  return new Map(
    linkManagerNames.flatMap(name => {
      const text = readIfReadable(linkManagers[name].path(bridge));
      return text === null ? [] : [[name, text] as const];
    }),
  );
}

function readModes(files: Iterable<string>): Map<string, number> {
  return new Map(
    [...files].flatMap(path => {
      const mode = modeOrNull(path);
      return mode === null ? [] : [[path, mode] as const];
    }),
  );
}

function readReservations(
  network: NetworkConfig,
): { readonly kind: 'known'; readonly wanted: Wanted } | { readonly kind: 'damaged'; readonly error: Error } {
  try {
    return { kind: 'known', wanted: readWanted(network) };
  } catch (error) {
    return { kind: 'damaged', error: error as Error };
  }
}

function gatherFacts(
  network: NetworkConfig,
  {
    claims,
    ...known
  }: Pick<HostFacts, 'backends' | 'families' | 'lacking' | 'wanted'> & {
    /** Null when they are unknown. */
    readonly claims: readonly Claim[] | null;
  },
): HostFacts {
  const { name, bridge, domain } = network;
  const running = runningDomains();
  // At boot no machine runs, and reading the XML of libvirt's networks takes 5 ms.
  const passThrough = running.length === 0 ? new Set<string>() : passThroughNetworks(name, bridge);
  const onNetwork = running.flatMap(domain =>
    nicsOn(bridge, passThrough, domain).map(nic => ({ ...nic, uuid: domain.uuid })),
  );
  const hasClaims = claims !== null && claims.length > 0;
  const reflected = new Set(hasClaims && filtersFrames(bridge) ? claims.map(({ uuid }) => uuid) : []);
  const { reflecting } = readApplied(bridge);
  // Without the ledger it is not known which machines have forwards.
  const otherwise = (tap: string) => (claims !== null && reflecting.includes(tap) ? 'off' : 'leave');
  return {
    machineId: machineId(),
    ...known,
    linkManagers: installedManagers(system.exists),
    translations: claims === null ? null : translationsOfClaims(claims),
    hasDummy: system.exists(`/sys/class/net/${dummyName(bridge)}`) || canMakeDummy(),
    keepsIpv6Off: kernelHasIpv6() && !hasGlobalIpv6(bridge, readIpv6Addresses()),
    defaultLinks: [],
    networksBehind: [],
    underlayMtu: null,
    taps: onNetwork.flatMap(({ tap, isUp, mtu, isolated, uuid }) =>
      tap === null
        ? []
        : [{ name: tap, up: isUp, mtu, isolated, hairpin: reflected.has(uuid) ? 'on' : otherwise(tap) }],
    ),
    routesLoopback: system.readFile(sysctlPath(linkSysctl('ipv4', bridge, 'route_localnet')))?.trim() === '1',
    user: dnsmasqUser(),
    canWatchResolvConf: canWatchResolvConf(),
    machineLines:
      known.wanted === null
        ? readMachineLines(readConf(bridge) ?? '')
        : [
            ...wildcardLines(known.wanted.wildcards, domain),
            ...machineBootLines(known.wanted.boots, network),
          ],
    recordLines: wantedRecordLines(network),
    extras: readExtras(name),
  };
}

/** Returns the lines of dnsmasq.conf that libvirt's networks call for. */
export function wantedRecordLines(network: Pick<NetworkConfig, 'bridge' | 'domain'>): string[] {
  return recordLines(servedRecords(activePassThroughs(network), network.domain));
}

function dnsmasqUser(): string {
  const users = system.readFile('/etc/passwd')?.split('\n') ?? [];
  return users.some(line => line.startsWith('dnsmasq:')) ? 'dnsmasq' : 'nobody';
}

function readExtras(network: string): DnsmasqHost['extras'] {
  const files = extrasOf(network);
  if (files.length === 0) return null;
  const content = files.map(path => `${basename(path)}\n${system.readFile(path) ?? ''}`).join('\n');
  return { directory: extrasDirectory(network), digest: digest(content).toString('hex').slice(0, 16) };
}
