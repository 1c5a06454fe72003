// Reads the doctor's facts about one machine and its NICs, without calls to libvirt.
import { existsSync } from 'node:fs';
import { formatIp, type Ipv4 } from '../../address/ip.ts';
import type { Mac } from '../../address/mac.ts';
import type { Config, NetworkConfig } from '../../config/config.ts';
import { effectiveLines } from '../../dnsmasq/hostsfile.ts';
import { readLeasesTextOrNone } from '../../dnsmasq/lease-file.ts';
import { isCurrent, parseLeases } from '../../dnsmasq/leases.ts';
import type { DeniedValue } from '../../guard/denied.ts';
import { listDenied } from '../../guard/table.ts';
import type { LedgerEntry } from '../../identity/ledger-format.ts';
import { machineOn } from '../../identity/machine.ts';
import { hostMacs, readHostsfile, readLedger } from '../../identity/store.ts';
import { definedDomains, passThroughNetworks, runningDomains } from '../../libvirt/definitions.ts';
import type { Domain, Nic } from '../../libvirt/domain-xml.ts';
import { nearestName } from '../../names/nearest.ts';
import { listStaticEntries } from '../../network/kernel/read-kernel.ts';
import { misleadingNeighbour, readStaticNeighbours } from '../../network/kernel/static-neighbours.ts';
import type { HostRules } from '../../other-firewalls/base-chains.ts';
import { readFileOrNull } from '../../system/files.ts';
import { askNeighbours } from '../../system/neighbours.ts';
import { system } from '../../system/system.ts';
import type { DroppedFrames, OtherPlace } from '../machine-details.ts';
import { type BridgePort, type MachineFacts, type NicFacts, noForwards } from './facts.ts';
import { readDnsmasqLog } from './read-dnsmasq.ts';
import { readPassage } from './read-passage.ts';
import { readForwardsFacts, readHostName } from './read-reach.ts';

/** Longest wait for an answer to ARP. */
const arpTimeoutMs = 1500;

/** Reads the facts about the machine of this name. */
export async function readMachineFacts(
  name: string,
  { networks }: Config,
  rules: HostRules,
): Promise<MachineFacts> {
  const [allRunning, allDefined] = [runningDomains(), definedDomains()];
  const running = allRunning.find(domain => domain.name === name);
  const domain = running ?? allDefined.find(other => other.name === name);
  if (domain === undefined) {
    const known = [...allRunning, ...allDefined].map(each => each.name);
    const nearest = nearestName(name, known);
    return { name, state: 'unknown', nearest, elsewhere: [], nics: [], forwards: noForwards };
  }
  const onNetworks = networks.flatMap(network => {
    const passThrough = passThroughNetworks(network.name, network.bridge);
    return machineOn(network.bridge, passThrough, domain).macs.map(mac => ({ network, mac }));
  });
  const elsewhere = domain.nics.filter(nic => !onNetworks.some(({ mac }) => mac === nic.mac));
  return {
    name,
    state: running === undefined ? 'shut off' : 'running',
    nearest: null,
    elsewhere: elsewhere.map(placeOf),
    nics: await Promise.all(onNetworks.map(({ network, mac }) => readNicFacts(network, domain, mac, rules))),
    forwards: running === undefined ? noForwards : await readForwardsFacts(domain.uuid, networks, rules),
  };
}

function placeOf({ network, bridge }: Nic): OtherPlace {
  if (network !== null) return { kind: 'network', name: network };
  return bridge === null ? { kind: 'other' } : { kind: 'bridge', name: bridge };
}

async function readNicFacts(
  network: NetworkConfig,
  domain: Domain,
  mac: Mac,
  rules: HostRules,
): Promise<NicFacts> {
  const { name, bridge } = network;
  const { tap = null, isUp = true } = domain.nics.find(nic => nic.mac === mac) ?? {};
  const reserved = reservedFor(mac, network);
  const now = new Date();
  const leases = parseLeases(readLeasesTextOrNone(bridge));
  const lease = leases.find(each => each.mac === mac && isCurrent(each, now)) ?? null;
  const ip = lease?.ip ?? reserved;
  const canAsk = tap !== null && existsSync(`/sys/class/net/${bridge}`);
  const entry = entryOf(name, domain.uuid, mac);
  const [answeredBy, neighbours, log, denied, hostName, passage, statics] = await Promise.all([
    ip === null || !canAsk ? null : askOne(ip, bridge),
    readStaticNeighbours(system, bridge),
    readDnsmasqLog(mac),
    tap === null ? null : listDenied(system, bridge),
    tap === null || entry === null ? null : readHostName(network, entry.hostname),
    tap === null || ip === null ? null : readPassage(network, { bridge, tap, mac, ip }, rules),
    listStaticEntries(bridge),
  ]);
  return {
    network: name,
    bridge,
    mac,
    tap,
    isKeptDown: !isUp,
    port: tap === null ? null : readPort(tap),
    behind: portOf(statics, mac, tap),
    entry,
    reserved,
    lease,
    log,
    passage,
    // Entries that ip calls NOARP are not where answers are read.
    neighbour:
      ip === null || !canAsk
        ? null
        : { mac: answeredBy ?? neighbours.find(each => each.ip === ip)?.mac ?? null },
    misleading: ip === null ? null : misleadingNeighbour(bridge, neighbours, [{ ip, macs: [mac] }]),
    dropped:
      denied
        ?.filter(each => each.tap === tap)
        .map(({ denial, value, frames }) => ({ denial, value, frames, owner: ownerOf(network, value) })) ??
      null,
    hostName,
  };
}

/**
 * Returns another port than this that a static entry has a MAC behind for good; null for none. One that is not sticky
 * follows the next frame from the MAC.
 */
function portOf(
  entries: Awaited<ReturnType<typeof listStaticEntries>>,
  mac: Mac,
  own: string | null,
): string | null {
  const found = [...entries].find(
    ([port, of]) => port !== own && of.some(entry => entry.isSticky && entry.mac === mac),
  );
  return found?.[0] ?? null;
}

/** Returns the MAC that answers for an address; null without an answer. */
async function askOne(ip: Ipv4, bridge: string): Promise<string | null> {
  const address = formatIp(ip);
  return (await askNeighbours([address], bridge, arpTimeoutMs)).get(address) ?? null;
}

/** Returns whose a MAC or an address is; null if it is nobody's, or if the ledger is damaged. */
function ownerOf(network: NetworkConfig, value: DeniedValue | null): DroppedFrames['owner'] {
  if (value === null) return null;
  const isSame = (mac: Mac, ip: Ipv4 | null) => (value.kind === 'mac' ? mac === value.mac : ip === value.ip);
  const device = network.hosts.find(({ mac, ip }) => isSame(mac, ip));
  if (device !== undefined) return { kind: 'device', name: device.name };
  const isOfHost =
    value.kind === 'mac' ? hostMacs(network).includes(value.mac) : value.ip === network.gateway;
  if (isOfHost) return { kind: 'host' };
  try {
    const entries = readLedger()
      .present()
      .filter(each => each.network === network.name);
    const entry = entries.find(({ macs, ip }) => macs.some(mac => isSame(mac, ip)));
    return entry === undefined ? null : { kind: 'machine', name: entry.name };
  } catch {
    return null;
  }
}

/** Returns null also where the ledger is damaged: the check `ledger` reports that. */
function entryOf(network: string, uuid: string, mac: Mac): LedgerEntry | null {
  try {
    const entries = readLedger().ofMachine(network, uuid);
    return entries.find(entry => entry.macs.includes(mac)) ?? null;
  } catch {
    return null;
  }
}

/**
 * Returns the address that dnsmasq reserves for a MAC, by a line of virlan's or by hand; null also where the hostsfile
 * is damaged, which a check of the network reports.
 */
function reservedFor(mac: Mac, network: NetworkConfig): Ipv4 | null {
  try {
    return effectiveLines(readHostsfile(network), network).find(line => line.macs.includes(mac))?.ip ?? null;
  } catch {
    return null;
  }
}

/** Reads a link from sysfs. Its received frames are those that the machine has sent. */
function readPort(tap: string): BridgePort | null {
  const directory = `/sys/class/net/${tap}`;
  if (!existsSync(directory)) return null;
  const read = (path: string) => readFileOrNull(`${directory}/${path}`)?.trim() ?? null;
  const state = read('brport/state');
  return {
    master: /^INTERFACE=(.*)$/m.exec(read('master/uevent') ?? '')?.[1] ?? null,
    // IFF_UP of linux/if.h.
    up: (Number(read('flags')) & 1) === 1,
    state: state === null ? null : Number(state),
    framesSent: Number(read('statistics/rx_packets')),
  };
}
