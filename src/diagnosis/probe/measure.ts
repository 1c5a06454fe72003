// Sends the packets of a probe that is plugged in, and collects what happens to them.
import { formatIp, formatPrefix, type Ipv4, parseIpv4 } from '../../address/ip.ts';
import type { Mac } from '../../address/mac.ts';
import type { NetworkConfig } from '../../config/config.ts';
import { availableBackends } from '../../firewall/backends.ts';
import { findMarkedRoute } from '../../network/routes/marked-route.ts';
import { countReversePathDrops } from '../../network/routes/reverse-path.ts';
import type { Uplink } from '../../network/routes/uplink.ts';
import type { HostRules } from '../../other-firewalls/base-chains.ts';
import { findZoneSource } from '../../other-firewalls/firewalld-sources.ts';
import { firewalldTable } from '../../other-firewalls/model.ts';
import { isUnresolved } from '../../system/neighbours.ts';
import { run, runOrNull } from '../../system/run.ts';
import { system } from '../../system/system.ts';
import {
  type CountedPackets,
  type Counters,
  parseCounters,
  renderCounters,
  renderTracedCounters,
} from './counters.ts';
import { readDeviceDrops } from './device-drops.ts';
import { findDnsTranslation, findDrops, findUntracking, joinDrops } from './drops.ts';
import type { ProbeFacts } from './facts.ts';
import { findLegacyDnsTranslation, findLegacyDrops, readLegacyCounters } from './legacy-drops.ts';
import { type Diversions, findMarks, type Marks } from './marks.ts';
import { counterTable, probeNamespace } from './names.ts';
import { promiseOf } from './promise.ts';
import { isNameUnknown, type ProbeReport, type ProbeRequest } from './protocol.ts';
import { isReachable } from './reachability.ts';
import { readRuleDrops } from './rule-drops.ts';
import { readTakings } from './takings.ts';
import { traced } from './trace.ts';
import { traceEvents } from './trace-events.ts';
import { findUpstreamDrop } from './upstream-drops.ts';

/** A probe that is plugged in. */
export interface Plugged {
  readonly network: NetworkConfig;
  readonly mac: Mac;
  /** The address that is reserved for it. */
  readonly ip: Ipv4;
  /** True if dnsmasq ran and was told of the reservation. */
  readonly told: boolean;
  /** The time until its port forwarded; null when it did not before the timeout. */
  readonly portWaitedMs: number | null;
  readonly rules: HostRules;
}

/** The facts of a probe, and the marks that its packets had where it was necessary to trace them. */
export interface Measurement {
  readonly facts: ProbeFacts;
  readonly marks: Marks;
}

/** Returns the facts of a probe before it sends anything. */
export function unmeasured({ network, ip, told, portWaitedMs }: Plugged, uplink: Uplink): ProbeFacts {
  return {
    promise: promiseOf(network, uplink),
    isolated: network.mode === 'isolated',
    subnet: formatPrefix(network.subnet),
    bridge: network.bridge,
    gateway: formatIp(network.gateway),
    ip: formatIp(ip),
    dnsmasqTold: told,
    portWaitedMs,
    uplink,
    report: null,
    counters: null,
    hostAnswered: null,
    isUnresolved: false,
    reversePathDrops: 0,
    drops: {},
    diversions: {},
    takings: {},
    zoneSource: null,
    untracking: { outgoing: null, returning: null },
    dnsTranslatedBy: null,
    upstreamDrop: null,
  };
}

/** Sends a probe's packets, to the outside by way of an uplink. Sends them again, traced, where some are lost. */
export async function measure(plugged: Plugged, uplink: Uplink): Promise<Measurement> {
  const { network, mac, ip, rules } = plugged;
  const { bridge, gateway } = network;
  const facts = unmeasured(plugged, uplink);
  const { dev: outside, gateway: nextHop } = uplink.kind === 'via' ? uplink : { dev: null, gateway: null };
  const request: ProbeRequest = {
    mac,
    prefix: network.subnet.length,
    gateway: facts.gateway,
    name: `${probeNamespace}.${network.domain}`,
    nextHop,
    asksUpstream: !facts.isolated,
  };
  const path = { bridge, ip, gateway, outside, nextHop: parseIpv4(nextHop ?? '') };
  const counted = { bridge, mac, ip, nextHop: path.nextHop ?? gateway };
  // On a kernel without nf_tables the network may work by iptables.
  const canCount =
    availableBackends(system.isInstalled).includes('nftables') &&
    (await runOrNull('nft', ['-f', '-'], { input: renderCounters(counted) })) !== null;
  const dropsBefore = readReversePathDrops();
  const legacyBefore = await readLegacyCounters(system);
  const report = withHostsView(await runGuest(request), facts);
  const reversePathDrops = readReversePathDrops() - dropsBefore;
  const counters = canCount ? await readCounters() : null;
  const hostAnswered =
    report.nextHopAnswers === false && nextHop !== null ? await isReachable(nextHop) : null;
  const legacyAfter = await readLegacyCounters(system);
  const legacy = findLegacyDrops(legacyBefore, legacyAfter, path);
  const dnsTranslatedBy = findLegacyDnsTranslation(legacyBefore, legacyAfter);
  // Without counters, only the host's own try shows that packets to the outside are lost.
  const isLossKnown = counters !== null || hostAnswered === true;
  const { outgoing = null, returning = null } = isLossKnown ? legacy.possible : legacy.certain;
  const { connecting = null, connected = null } = await readRuleDrops(system, rules, {
    ...path,
    mac,
    tap: probeNamespace,
  });
  const drops = joinDrops(
    { ...legacy.possible, outgoing, returning, connecting, connected },
    isLost(report) ? await readDeviceDrops(system, rules, path) : {},
  );
  const takings = isLost(report) ? await readTakings(system, path) : {};
  const found = {
    ...facts,
    report,
    counters,
    hostAnswered,
    isUnresolved:
      hostAnswered === false && nextHop !== null && outside !== null && isUnresolved(nextHop, outside),
    reversePathDrops,
    drops,
    takings,
    dnsTranslatedBy,
    upstreamDrop:
      canCount && isUpstreamLost(report) ? await findUpstreamDrop(bridge, () => runGuest(request)) : null,
  };
  if (counters === null || facts.promise === 'kept-inside' || !isWorthTracing(found, report, counters))
    return { facts: found, marks: {} };
  return measureTraced(found, counted, { ...request, asksUpstream: false });
}

/** Sends the packets of a probe again, traced, and adds what became of those that were lost. */
async function measureTraced(
  facts: ProbeFacts,
  counted: CountedPackets,
  request: ProbeRequest,
): Promise<Measurement> {
  const events = traceEvents(await traced(renderTracedCounters(counted), () => runGuest(request)));
  const marks = findMarks(events, request);
  const drops = joinDrops(findDrops(events, request), facts.drops);
  const isByFirewalld = Object.values(drops).some(drop => drop?.table === firewalldTable);
  return {
    facts: {
      ...facts,
      drops,
      zoneSource: isByFirewalld ? await findZoneSource(system, counted.ip) : null,
      diversions: await findDiversions(facts, counted.ip, marks),
      untracking: findUntracking(events, request.nextHop),
      dnsTranslatedBy: findDnsTranslation(events, request) ?? facts.dnsTranslatedBy,
    },
    marks,
  };
}

/** Finds the packets that routing leads elsewhere, or refuses, because of their marks. */
async function findDiversions(
  { bridge, gateway, uplink }: ProbeFacts,
  ip: Ipv4,
  marks: Marks,
): Promise<Diversions> {
  const find = (to: Ipv4, query: readonly string[], mark: number | undefined, expectedLink: string) =>
    mark === undefined ? null : findMarkedRoute(system, { to, query, mark }, expectedLink);
  const dns = await find(ip, ['from', gateway], marks.dns, bridge);
  const nextHop = uplink.kind === 'via' ? parseIpv4(uplink.gateway ?? '') : null;
  if (uplink.kind !== 'via' || nextHop === null) return { dns };
  const outgoing = ['from', formatIp(ip), 'iif', bridge];
  const returning = ['from', formatIp(nextHop), 'iif', uplink.dev];
  return {
    dns,
    outgoing: await find(nextHop, outgoing, marks.outgoing, uplink.dev),
    returning: await find(ip, returning, marks.returning, bridge),
  };
}

/** Adds that the host does not find the probe by ARP: its request may have told the probe its own MAC all the same. */
function withHostsView(report: ProbeReport, { bridge, ip }: ProbeFacts): ProbeReport {
  const isLostByArp = report.dns?.kind === 'failed' && isUnresolved(ip, bridge);
  return isLostByArp ? { ...report, dns: { kind: 'unresolved' } } : report;
}

/** Runs the guest's program in the namespace. Throws CommandError when it fails. */
async function runGuest(request: ProbeRequest): Promise<ProbeReport> {
  const program = require.resolve('../../bin/probe-guest.ts');
  const args = ['netns', 'exec', probeNamespace, process.execPath, program];
  return JSON.parse(await run('ip', args, { input: JSON.stringify(request) }));
}

function readReversePathDrops(): number {
  return countReversePathDrops(system.readFile('/proc/net/netstat') ?? '');
}

async function readCounters(): Promise<Counters | null> {
  return parseCounters((await runOrNull('nft', ['--json', 'list', 'table', 'ip', counterTable])) ?? '');
}

/** Returns whether a packet was lost, or led elsewhere, for a reason that a trace may show. */
function isWorthTracing(
  { ip, promise, hostAnswered }: Pick<ProbeFacts, 'ip' | 'promise' | 'hostAnswered'>,
  report: ProbeReport,
  { plain, masqueraded, arrived }: Counters,
): boolean {
  const isNotMasqueraded = promise === 'masqueraded' && masqueraded === 0;
  const isLostInHost = plain + masqueraded === 0 || isNotMasqueraded || arrived > 0;
  // A next hop that answers only the host may not have received the probe's packets: a mark may have led them
  // elsewhere. No rule that a trace shows was met.
  if (report.dns?.kind === 'unresolved') return false;
  return (
    isServiceSilent(report) ||
    isNameUnknown(report.dns, ip) ||
    (report.nextHopAnswers === false && (isLostInHost || hostAnswered === true))
  );
}

function isLost(report: ProbeReport): boolean {
  return isServiceSilent(report) || report.nextHopAnswers === false;
}

function isUpstreamLost({ dns, upstream }: ProbeReport): boolean {
  return dns?.kind === 'answered' && upstream?.kind === 'failed';
}

function isServiceSilent({ lease, dns }: ProbeReport): boolean {
  return lease.kind !== 'leased' || dns?.kind === 'failed';
}
