import { createSocket } from 'node:dgram';
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
} from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { formatIp, type Ipv4 } from '../../address/ip.ts';
import type { Mac } from '../../address/mac.ts';
import type { Config, NetworkConfig } from '../../config/config.ts';
import { handLines } from '../../dnsmasq/hostsfile.ts';
import { isCurrent } from '../../dnsmasq/leases.ts';
import { availableBackends } from '../../firewall/backends.ts';
import { listTimeoutSeconds } from '../../firewall/rules-reader.ts';
import { machineOn } from '../../identity/machine.ts';
import { readHostsfile, readLeases, readLedger } from '../../identity/store.ts';
import { definedDomains, passThroughNetworks, runningDomains } from '../../libvirt/definitions.ts';
import type { Domain } from '../../libvirt/domain-xml.ts';
import { surveyHost, surveyNetwork } from '../../network/survey.ts';
import { linkSysctl, readSysctls } from '../../network/sysctl.ts';
import { readUplink } from '../../network/uplink.ts';
import { dropsByPolicy } from '../../other-firewalls/model.ts';
import { unreadText } from '../../report/warning-text.ts';
import { readFileOrNull } from '../../system/files.ts';
import { run, runOrNull } from '../../system/run.ts';
import { system } from '../../system/system.ts';
import { unprobed } from '../probe/judge.ts';
import { probe } from '../probe/probe.ts';
import { dnsmasqVersion } from './dnsmasq-cves.ts';
import type { HookState, HostFacts, MachineFacts, NetworkFacts, NicFacts, Port } from './facts.ts';
import { parseListeners } from './ports.ts';

export async function gatherHost(): Promise<HostFacts> {
  const [nftTrouble, listeners, dnsmasq] = await Promise.all([
    readNftTrouble(),
    readListeners(),
    readDnsmasq(),
  ]);
  const [count, most] = ['count', 'max'].map(what =>
    readFileOrNull(`/proc/sys/net/netfilter/nf_conntrack_${what}`),
  );
  return {
    survey: surveyHost(),
    nftTrouble,
    tracked: count == null || most == null ? null : { count: Number(count), most: Number(most) },
    listeners,
    dnsmasq,
    hooks: existsSync('/etc/libvirt') ? readHooks() : null,
  };
}

/** Throws what keeps virlan from saying what would have to be there. */
export async function gatherNetwork(
  network: NetworkConfig,
  host: Promise<Pick<HostFacts, 'nftTrouble'>>,
): Promise<NetworkFacts> {
  const { bridge } = network;
  const survey = await surveyNetwork(network);
  const { link, dnsmasq } = survey.observed;
  const forwards = readSysctl('net.ipv4.ip_forward') === '1' && readForwarding(bridge) !== '0';
  const uplink = link === null || !forwards ? null : await readUplink(system, bridge, network.range.last);
  const dev = uplink?.kind === 'via' ? [uplink.dev] : [];
  const reasons = [
    (await host).nftTrouble === null ? null : 'nft does not work',
    link?.up === true ? null : `there is no ${bridge} that is up`,
    dnsmasq.pid === null ? 'no dnsmasq runs' : null,
  ];
  const idle = reasons.find(reason => reason !== null) ?? null;
  return {
    survey,
    droppers: survey.otherFirewalls.chains
      .filter(dropsByPolicy)
      .map(({ family, table, name }) => `${family} ${table} ${name}`),
    unread: survey.otherFirewalls.unread.map(unreadText),
    forwarding: new Map(
      [bridge, ...dev].flatMap(name => {
        const value = readForwarding(name);
        return value === null ? [] : [[forwardingKey(name), value] as const];
      }),
    ),
    uplink,
    duplicates: findDuplicates(network),
    probe: idle === null ? await probe(network) : unprobed(idle),
  };
}

export async function gatherMachine(name: string, { networks }: Config): Promise<MachineFacts> {
  const running = runningDomains().find(domain => domain.name === name);
  const domain = running ?? definedDomains().find(other => other.name === name);
  if (domain === undefined) return { name, state: 'unknown', elsewhere: [], nics: [] };
  const placed = networks.flatMap(network => {
    const passThrough = passThroughNetworks(network.name, network.bridge);
    return machineOn(network.bridge, passThrough, domain).macs.map(mac => ({ network, mac }));
  });
  return {
    name,
    state: running === undefined ? 'shut off' : 'running',
    elsewhere: domain.nics
      .filter(nic => !placed.some(({ mac }) => mac === nic.mac))
      .map(({ network, bridge }) => (network === null ? `bridge ${bridge}` : `network ${network}`)),
    nics: await Promise.all(placed.map(({ network, mac }) => gatherNic(network, domain, mac))),
  };
}

async function gatherNic(network: NetworkConfig, domain: Domain, mac: Mac): Promise<NicFacts> {
  const { name, bridge } = network;
  const tap = domain.nics.find(nic => nic.mac === mac)?.tap ?? null;
  const promised = promisedTo(mac, bridge);
  const now = new Date();
  const lease = readLeases(bridge).find(each => each.mac === mac && isCurrent(each, now)) ?? null;
  const ip = lease?.ip ?? promised;
  const [neighbour, log] = await Promise.all([
    ip === null || tap === null || !existsSync(`/sys/class/net/${bridge}`) ? null : askNeighbour(ip, bridge),
    readDnsmasqLog(mac),
  ]);
  return {
    network: name,
    bridge,
    mac,
    tap,
    port: tap === null ? null : readPort(tap),
    entry: entryOf(name, domain.uuid, mac),
    promised,
    lease,
    log,
    neighbour,
  };
}

/** A damaged ledger is told of elsewhere. */
function entryOf(network: string, uuid: string, mac: Mac) {
  try {
    return (
      readLedger()
        .ofMachine(network, uuid)
        .find(entry => entry.macs.includes(mac)) ?? null
    );
  } catch {
    return null;
  }
}

/** The address that a bridge's hostsfile has for a MAC, whoever wrote the line. */
function promisedTo(mac: Mac, bridge: string): Ipv4 | null {
  const { ours, byHand } = readHostsfile(bridge);
  const lines = handLines({ ours: [], byHand: [...byHand, ...ours] });
  return lines.find(line => line.macs.includes(mac))?.ip ?? null;
}

function readPort(tap: string): Port | null {
  const directory = `/sys/class/net/${tap}`;
  if (!existsSync(directory)) return null;
  const read = (path: string) => readFileOrNull(`${directory}/${path}`)?.trim() ?? null;
  const state = read('brport/state');
  return {
    master: /^INTERFACE=(.*)$/m.exec(read('master/uevent') ?? '')?.[1] ?? null,
    up: (Number(read('flags')) & 1) === 1,
    state: state === null ? null : Number(state),
    sent: Number(read('statistics/rx_packets')),
  };
}

/** How long an answer to ARP is waited for, in milliseconds, and how often the kernel is asked whether it has one. */
const arpPatience = { total: 1500, interval: 50 };

/** The discard protocol of RFC 863: what a machine does with the packet does not matter, but who takes it. */
const discard = 9;

/** Has the kernel ask who has an address, forgetting what it knew. */
async function askNeighbour(ip: Ipv4, bridge: string): Promise<{ mac: string | null }> {
  const address = formatIp(ip);
  await runOrNull('ip', ['neigh', 'flush', 'to', address, 'dev', bridge]);
  const socket = createSocket('udp4');
  socket.on('error', () => {});
  await new Promise<void>(resolve => socket.send('', discard, address, () => resolve()));
  socket.close();
  for (let waited = 0; waited < arpPatience.total; waited += arpPatience.interval) {
    const said = (await runOrNull('ip', ['-json', 'neigh', 'show', 'to', address, 'dev', bridge])) ?? '';
    const mac = /"lladdr":"([0-9a-f:]+)"/.exec(said)?.[1];
    if (mac !== undefined) return { mac };
    await pause(arpPatience.interval);
  }
  return { mac: null };
}

function findDuplicates({ name, bridge }: NetworkConfig): NetworkFacts['duplicates'] {
  const passThrough = passThroughNetworks(name, bridge);
  const running = runningDomains();
  const all = [...running, ...definedDomains().filter(({ uuid }) => !running.some(one => one.uuid === uuid))];
  const names = new Map<Mac, string[]>();
  for (const domain of all) {
    for (const mac of machineOn(bridge, passThrough, domain).macs)
      names.set(mac, [...(names.get(mac) ?? []), domain.name]);
  }
  return [...names]
    .filter(([, owners]) => owners.length > 1)
    .map(([mac, owners]) => ({ mac, names: owners }));
}

function forwardingKey(link: string): string {
  return linkSysctl('ipv4', link, 'forwarding');
}

function readSysctl(key: string): string | null {
  return readSysctls([key], system.readFile).get(key) ?? null;
}

function readForwarding(link: string): string | null {
  return readSysctl(forwardingKey(link));
}

async function readNftTrouble(): Promise<string | null> {
  if (!availableBackends(system.isInstalled).includes('nftables')) return null;
  try {
    await run('nft', ['list', 'tables'], '', listTimeoutSeconds);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

async function readListeners(): Promise<HostFacts['listeners']> {
  const options = ['--no-header', '--listening', '--numeric', '--tcp', '--udp', '--processes'];
  const said = await runOrNull('ss', [...options, '( sport = :53 or sport = :67 )']);
  return said === null ? null : parseListeners(said);
}

async function readDnsmasq(): Promise<HostFacts['dnsmasq']> {
  const version = dnsmasqVersion((await runOrNull('dnsmasq', ['--version'])) ?? '');
  return version === null ? null : { version, changelog: await readChangelog() };
}

/** What dnsmasq's package says that its distribution changed; null where that cannot be read. */
async function readChangelog(): Promise<string | null> {
  const debian = '/usr/share/doc/dnsmasq-base/changelog.Debian.gz';
  if (existsSync(debian)) return gunzipSync(readFileSync(debian)).toString('utf8');
  return runOrNull('rpm', ['--query', '--changelog', 'dnsmasq']);
}

function readHooks(): Record<string, HookState> {
  return Object.fromEntries(['daemon', 'qemu', 'network'].map(driver => [driver, hookState(driver)]));
}

function hookState(driver: string): HookState {
  const places = [`/etc/libvirt/hooks/${driver}`, `/etc/libvirt/hooks/${driver}.d/50-virlan`];
  const own = places.find(path => /^# virlan: /m.test(readFileOrNull(path) ?? ''));
  if (own === undefined) return 'missing';
  try {
    accessSync(own, constants.X_OK);
    return 'ours';
  } catch {
    return 'not executable';
  }
}

/** Where a host without systemd's journal has what daemons log. */
const logFiles = ['/var/log/daemon.log', '/var/log/syslog', '/var/log/messages'];

/** How much of the end of such a file is read, in bytes. */
const logTail = 262_144;

/** What dnsmasq logged of a MAC lately, newest first; null where there is no log. */
async function readDnsmasqLog(mac: Mac): Promise<string[] | null> {
  if (['/run/log/journal', '/var/log/journal'].some(existsSync)) {
    const which = ['--identifier=dnsmasq-dhcp', `--grep=${mac}`, '--since=-1h', '--lines=20'];
    const said = await runOrNull('journalctl', ['--quiet', '--reverse', '--output=cat', ...which]);
    // It fails where nothing matches.
    return (said ?? '').split('\n').filter(line => line !== '');
  }
  const file = logFiles.find(existsSync);
  if (file === undefined) return null;
  const lines = readEnd(file).split('\n');
  return lines.filter(line => line.includes('dnsmasq') && line.includes(mac)).reverse();
}

function readEnd(path: string): string {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const bytes = Buffer.alloc(Math.min(size, logTail));
    readSync(file, bytes, 0, bytes.length, size - bytes.length);
    return bytes.toString('utf8');
  } finally {
    closeSync(file);
  }
}
