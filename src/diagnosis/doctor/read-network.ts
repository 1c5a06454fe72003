// Reads the doctor's facts about one network, and sends a probe through it.
import type { Mac } from '../../address/mac.ts';
import type { EtcdConfig, NetworkConfig } from '../../config/config.ts';
import { promisedAddresses } from '../../dnsmasq/hostsfile.ts';
import { readLeasesTextOrNone } from '../../dnsmasq/lease-file.ts';
import { isCurrent, type PromisedAddress, parseLeases } from '../../dnsmasq/leases.ts';
import { dnsmasqPaths } from '../../dnsmasq/paths.ts';
import { Ledger } from '../../identity/ledger.ts';
import { machineOn } from '../../identity/machine.ts';
import { readHostsfile, readLedger } from '../../identity/store.ts';
import { definedDomains, passThroughNetworks, runningDomains } from '../../libvirt/definitions.ts';
import { filtersFrames } from '../../network/kernel/bridge-netfilter.ts';
import { isOwnMac } from '../../network/kernel/static-entries.ts';
import { misleadingNeighbour, readStaticNeighbours } from '../../network/kernel/static-neighbours.ts';
import { linkSysctl, readSysctls } from '../../network/kernel/sysctl.ts';
import { readOwnUplink, readUplink, type Uplink } from '../../network/routes/uplink.ts';
import { linkManagerNames, linkManagers } from '../../network/state/link-managers.ts';
import { readBgpSessions, type Survey, surveyNetwork } from '../../network/survey-network.ts';
import type { HostRules } from '../../other-firewalls/base-chains.ts';
import { dropsByPolicy } from '../../other-firewalls/model.ts';
import { isRunning } from '../../system/processes.ts';
import { runOrNull } from '../../system/run.ts';
import { system } from '../../system/system.ts';
import type { Finding } from '../finding.ts';
import { notSent } from '../probe/judge.ts';
import { probe as sendProbe } from '../probe/probe.ts';
import { readBridgeDrop, readHandedDrop } from './bridge-drops.ts';
import { sharedMacs } from './duplicates.ts';
import type { DoctorHostFacts, ManagedLink, NetworkFacts } from './facts.ts';
import { findClosedPath } from './read-dnsmasq.ts';

/** Reads the facts about one network. Throws when the desired state of the network cannot be determined. */
export async function readNetworkFacts(
  network: NetworkConfig,
  etcd: EtcdConfig | null,
  host: Promise<Pick<DoctorHostFacts, 'nftError' | 'isNftNeeded'>>,
  rules: HostRules,
): Promise<NetworkFacts> {
  const { bridge } = network;
  const survey = await surveyNetwork(network, rules);
  const taps = survey.observed.taps.map(({ name }) => name);
  const ownForwarding = readSysctls([ipForward, forwardingKey(bridge)], system.readFile);
  const forwards = ownForwarding.get(ipForward) === '1' && ownForwarding.get(forwardingKey(bridge)) !== '0';
  const isAsked = survey.observed.link !== null && forwards;
  const uplink = isAsked ? await readUplink(system, bridge, network.range.last) : null;
  const ownUplink = uplink?.kind === 'unreachable' ? await readOwnUplink(system) : null;
  const [unknownOwnMac, managed, probe, peers, sessions, members] = await Promise.all([
    readUnknownOwnMac(survey),
    readManager([bridge, ...taps]),
    host.then(facts => probeIfUseful(survey, facts, rules)),
    readPeers(network),
    askSessions(survey),
    askMembers(survey, etcd),
  ]);
  return {
    survey,
    managed,
    closedPath: readClosedPath(survey),
    unknownOwnMac,
    droppingChains: survey.otherFirewalls.reading.chains.filter(dropsByPolicy),
    unreadFirewalls: survey.otherFirewalls.reading.unread,
    bridgeDrop:
      (await readBridgeDrop(system, rules, taps)) ??
      (filtersFrames(bridge) ? await readHandedDrop(system, rules, bridge) : null),
    forwarding: readSysctls([bridge, ...linksOf(uplink)].map(forwardingKey), system.readFile),
    uplink,
    ownUplink,
    sharedMacs: readSharedMacs(network),
    misleading: await readMisleading(network),
    probe,
    peers,
    sessions,
    etcd: members,
  };
}

/** Returns the MAC of the bridge if its table has no entry for it; null also where the table cannot be read. */
async function readUnknownOwnMac({ network: { bridge }, observed: { link } }: Survey): Promise<Mac | null> {
  if (link === null) return null;
  const output = await runOrNull('bridge', ['-json', 'fdb', 'show', 'br', bridge, 'state', 'permanent']);
  return output === null || isOwnMac(output, link.mac) ? null : link.mac;
}

/** Returns the directory or file that keeps dnsmasq from its hostsfile; null for none, and where it does not run. */
function readClosedPath({ network: { bridge }, observed: { dnsmasq } }: Survey): NetworkFacts['closedPath'] {
  const { pid } = dnsmasq;
  return pid === null ? null : findClosedPath(pid, dnsmasqPaths(bridge).hostsfile);
}

/** Asks the other hosts of its cluster. */
async function readPeers(network: NetworkConfig): Promise<NetworkFacts['peers']> {
  if (network.tunnel === null) return [];
  const { askPeers } = await import('../probe/ask-peers.ts');
  return askPeers(network);
}

/** Asks neighbours in BGP why there is no session. */
async function askSessions({ network, bgpSessions }: Survey): Promise<NetworkFacts['sessions']> {
  const { tunnel } = network;
  if (tunnel === null || bgpSessions.length === 0) return [];
  const { askBgp } = await import('../probe/ask-bgp.ts');
  return askBgp(tunnel.address, bgpSessions, () => readBgpSessions(network));
}

/** Asks the members of etcd. */
async function askMembers(
  { network, damage }: Survey,
  etcd: EtcdConfig | null,
): Promise<NetworkFacts['etcd']> {
  const { tunnel, sharesLedger } = network;
  if (etcd === null || tunnel === null || !sharesLedger) return null;
  const { askEtcd } = await import('../probe/ask-etcd.ts');
  return askEtcd(network, tunnel.vni, etcd, damage === null ? readLedger() : Ledger.empty);
}

/**
 * Returns the first of these links that a manager of links manages, and the manager; null for none, and for a manager
 * that does not say so.
 */
async function readManager(links: readonly string[]): Promise<ManagedLink | null> {
  for (const name of linkManagerNames) {
    const { programs, show, managed } = linkManagers[name];
    if (!isRunning(programs)) continue;
    const [program, ...args] = show;
    const all = managed((await runOrNull(program, args)) ?? '');
    const link = links.find(each => all.includes(each));
    if (link !== undefined) return { link, manager: name };
  }
  return null;
}

function linksOf(uplink: Uplink | null): string[] {
  return uplink?.kind === 'via' ? [uplink.dev] : [];
}

/** Sends a probe, unless it must fail for a reason that another check reports. */
async function probeIfUseful(
  { network, observed: { link, dnsmasq } }: Survey,
  { nftError, isNftNeeded }: Pick<DoctorHostFacts, 'nftError' | 'isNftNeeded'>,
  rules: HostRules,
): Promise<readonly Finding[]> {
  const { bridge } = network;
  if (nftError !== null && isNftNeeded) return notSent({ kind: 'probe-without-nft' });
  if (link?.up !== true) return notSent({ kind: 'probe-without-bridge', bridge });
  if (dnsmasq.pid === null) return notSent({ kind: 'probe-without-dnsmasq' });
  return sendProbe(network, rules);
}

function readSharedMacs({ name, bridge }: NetworkConfig): NetworkFacts['sharedMacs'] {
  const passThrough = passThroughNetworks(name, bridge);
  const running = runningDomains();
  const isRunning = new Set(running.map(({ uuid }) => uuid));
  const domains = [...running, ...definedDomains().filter(({ uuid }) => !isRunning.has(uuid))];
  return sharedMacs(domains.map(domain => machineOn(bridge, passThrough, domain)));
}

/** Compares static entries with reservations and leases; those of a damaged file count as none. */
async function readMisleading(network: NetworkConfig): Promise<NetworkFacts['misleading']> {
  const { bridge } = network;
  const now = new Date();
  const entries = await readStaticNeighbours(system, bridge);
  if (entries.length === 0) return null;
  const leases = parseLeases(readLeasesTextOrNone(bridge)).filter(lease => isCurrent(lease, now));
  const promised = [...readPromised(network), ...leases.map(({ ip, mac }) => ({ ip, macs: [mac] }))];
  return misleadingNeighbour(bridge, entries, promised);
}

function readPromised(network: NetworkConfig): readonly PromisedAddress[] {
  try {
    return promisedAddresses(readHostsfile(network), network);
  } catch {
    return [];
  }
}

const ipForward = 'net.ipv4.ip_forward';

function forwardingKey(link: string): string {
  return linkSysctl('ipv4', link, 'forwarding');
}
