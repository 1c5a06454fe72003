// Sends a probe through a network: a network namespace on its bridge that behaves like a machine. Whatever
// kills it, the next probe or `virlan up` finds what is left by three marks: the namespace, the MAC of the
// probe (mac.ts) and the comment of its line in the hostsfile.
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { formatIp, formatPrefix, parseIpv4 } from '../../address/ip.ts';
import type { Mac } from '../../address/mac.ts';
import type { NetworkConfig } from '../../config/config.ts';
import { leasesOfMac } from '../../dnsmasq/leases.ts';
import { releaseLeases } from '../../dnsmasq/release.ts';
import { messageOf } from '../../errors.ts';
import { availableBackends } from '../../firewall/backends.ts';
import { dropProbe, hasProbe, readLeases, readLeasesText, reserveProbe } from '../../identity/store.ts';
import { countReversePathDrops } from '../../network/reverse-path.ts';
import { readOwnUplink, readUplink } from '../../network/uplink.ts';
import { readClusterCopy } from '../../records/cluster-copy.ts';
import { LockTimeout, withLock } from '../../system/lock.ts';
import { holderOf } from '../../system/lock-files.ts';
import { paths } from '../../system/paths.ts';
import { run, runOrNull } from '../../system/run.ts';
import { system } from '../../system/system.ts';
import type { Finding } from '../finding.ts';
import {
  type Counters,
  parseCounters,
  removeCounters,
  renderCounters,
  renderTracedCounters,
} from './counters.ts';
import { readDeviceDrops } from './device-drops.ts';
import { findDrops, findUntracking, joinDrops } from './drops.ts';
import { judgeProbe, notSent, type OutsidePromise, type ProbeFacts, promiseOf } from './judge.ts';
import { findLegacyDrops, readLegacyCounters } from './legacy-drops.ts';
import { probeMac } from './mac.ts';
import { counterTable, probeNamespace } from './names.ts';
import type { ProbeReport, ProbeRequest } from './protocol.ts';
import { isReachable } from './reachability.ts';
import { traced } from './trace.ts';

/** Longest wait for another probe. */
const probeLockTimeoutSeconds = 20;

/** STP at its fastest takes 4 s: see `forwardDelay` in network/desired.ts. */
const portTimeoutMs = 5000;

/** Interval of reading a port's state: the kernel reports changes only by netlink. */
const portIntervalMs = 20;

/**
 * Sends a probe: it takes a lease of an address that is reserved for it, looks up a name and sends a packet
 * to the outside. Removes everything afterwards, also after an error. Does not throw: an error is a finding.
 */
export async function probe(network: NetworkConfig): Promise<Finding[]> {
  try {
    return await withLock(paths.probeLock, probeLockTimeoutSeconds, async () => {
      await clearRemains(network);
      try {
        return await sendProbe(network);
      } finally {
        await clearRemains(network);
      }
    });
  } catch (error) {
    return notSent({ kind: 'probe-error', message: messageOf(error) });
  }
}

/** Removes the remains of a killed probe. A probe that is running is left alone. */
export async function clearProbe(network: NetworkConfig): Promise<void> {
  if (!hasRemains(network)) return;
  try {
    await withLock(paths.probeLock, 0, () => clearRemains(network));
  } catch (error) {
    if (!(error instanceof LockTimeout)) throw error;
  }
}

/** Returns whether this host may give addresses of a network: with etcd, only those that it has claimed there. */
function hasAddressesToGive({ name, sharesLedger }: NetworkConfig): boolean {
  return !sharesLedger || readClusterCopy(name).blocks.length > 0;
}

async function sendProbe(network: NetworkConfig): Promise<Finding[]> {
  const { bridge } = network;
  // Created first and deleted last: without the namespace, nothing of a probe is left.
  await run('ip', ['netns', 'add', probeNamespace]);
  const mac = probeMac(bridge);
  const reserved = await reserveProbe(network, { mac, hostname: probeNamespace });
  if (reserved === null)
    return notSent({ kind: hasAddressesToGive(network) ? 'probe-without-address' : 'probe-without-block' });
  const { ip, told } = reserved;
  await plugIn(network, mac);
  const isolated = network.mode === 'isolated';
  const [portWaitedMs, uplink] = await Promise.all([
    waitForPort(),
    isolated ? readOwnUplink(system) : readUplink(system, bridge, ip),
  ]);
  const promise = promiseOf(network, uplink);
  const nextHop = uplink.kind === 'via' ? uplink.gateway : null;
  const request: ProbeRequest = {
    mac,
    prefix: network.subnet.length,
    gateway: formatIp(network.gateway),
    name: `${probeNamespace}.${network.domain}`,
    nextHop,
    asksUpstream: !isolated,
  };
  const facts: ProbeFacts = {
    promise,
    isolated,
    subnet: formatPrefix(network.subnet),
    bridge,
    gateway: request.gateway,
    ip: formatIp(ip),
    dnsmasqTold: told,
    portWaitedMs,
    uplink,
    report: null,
    counters: null,
    hostAnswered: null,
    reversePathDrops: 0,
    drops: {},
    untracking: null,
  };
  if (portWaitedMs === null) return judgeProbe(facts);

  const counted = { bridge, mac, ip, nextHop: parseIpv4(nextHop ?? '') ?? network.gateway };
  // On a kernel without nf_tables the network may work by iptables.
  const canCount =
    availableBackends(system.isInstalled).includes('nftables') &&
    (await runOrNull('nft', ['-f', '-'], { input: renderCounters(counted) })) !== null;
  const dropsBefore = readReversePathDrops();
  const legacyBefore = await readLegacyCounters(system);
  const report = await runGuest(request);
  const reversePathDrops = readReversePathDrops() - dropsBefore;
  const counters = canCount ? await readCounters() : null;
  const hostAnswered =
    report.nextHopAnswers === false && nextHop !== null ? await isReachable(nextHop) : null;
  const path = {
    bridge,
    ip,
    gateway: network.gateway,
    outside: uplink.kind === 'via' ? uplink.dev : null,
    nextHop: parseIpv4(nextHop ?? ''),
  };
  const legacy = findLegacyDrops(legacyBefore, await readLegacyCounters(system), path);
  // Without counters, only the host's own try shows that packets to the outside are lost.
  const isLossKnown = counters !== null || hostAnswered === true;
  const { outgoing = null, returning = null } = isLossKnown ? legacy.possible : legacy.certain;
  const drops = joinDrops(
    { ...legacy.possible, outgoing, returning },
    isLost(report) ? await readDeviceDrops(system, path) : {},
  );
  const found = { ...facts, report, counters, hostAnswered, reversePathDrops, drops };
  if (counters === null || promise === 'kept-inside' || !isWorthTracing(report, counters, promise))
    return judgeProbe(found);
  const lines = await traced(renderTracedCounters(counted), () =>
    runGuest({ ...request, asksUpstream: false }),
  );
  return judgeProbe({
    ...found,
    drops: joinDrops(findDrops(lines, request), drops),
    untracking: findUntracking(lines, nextHop),
  });
}

async function plugIn({ bridge, mtu }: NetworkConfig, mac: Mac): Promise<void> {
  const peer = `name eth0 address ${mac} mtu ${mtu} netns ${probeNamespace}`;
  const outer = [
    `link add name ${probeNamespace} mtu ${mtu} type veth peer ${peer}`,
    `link set dev ${probeNamespace} master ${bridge} up`,
  ];
  // Without an address, a broadcast can be sent only with a route.
  const inner = ['link set dev lo up', 'link set dev eth0 up', 'route add default dev eth0'];
  const batch = (lines: readonly string[]) => ({ input: lines.map(line => `${line}\n`).join('') });
  await run('ip', ['-batch', '-'], batch(outer));
  await run('ip', ['-netns', probeNamespace, '-batch', '-'], batch(inner));
}

/** Waits until the bridge forwards for the probe. Returns how long that took; null after the timeout. */
async function waitForPort(): Promise<number | null> {
  const began = performance.now();
  for (;;) {
    const waitedMs = performance.now() - began;
    // 3 is BR_STATE_FORWARDING of linux/if_bridge.h. It cannot be set while the kernel runs STP.
    if (readFileSync(`/sys/class/net/${probeNamespace}/brport/state`, 'utf8').trim() === '3') return waitedMs;
    if (waitedMs > portTimeoutMs) return null;
    await pause(portIntervalMs);
  }
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

/** Returns whether a packet was lost for a reason that a trace may show. */
function isWorthTracing(report: ProbeReport, counters: Counters, promise: OutsidePromise): boolean {
  const { plain, masqueraded, arrived } = counters;
  const isNotMasqueraded = promise === 'masqueraded' && masqueraded === 0;
  const isLostInHost = plain + masqueraded === 0 || isNotMasqueraded || arrived > 0;
  return isServiceSilent(report) || (report.nextHopAnswers === false && isLostInHost);
}

function isLost(report: ProbeReport): boolean {
  return isServiceSilent(report) || report.nextHopAnswers === false;
}

function isServiceSilent({ lease, dns }: ProbeReport): boolean {
  return lease.kind !== 'leased' || dns?.kind === 'failed';
}

function hasRemains({ bridge }: NetworkConfig): boolean {
  const isLeased = readLeases(bridge).some(({ mac }) => mac === probeMac(bridge));
  // A probe that was killed before it changed anything leaves only its lock.
  const isLocked = holderOf(paths.probeLock) !== null;
  return existsSync(`/run/netns/${probeNamespace}`) || isLeased || hasProbe(bridge) || isLocked;
}

/** Removes the remains of a probe. Continues after a failure: the next probe removes the rest. */
async function clearRemains(network: NetworkConfig): Promise<void> {
  const { bridge } = network;
  await releaseLeases(network, leasesOfMac(readLeasesText(bridge), probeMac(bridge)));
  await dropProbe(bridge);
  if (!existsSync(`/run/netns/${probeNamespace}`)) return;
  if (existsSync(`/sys/class/net/${probeNamespace}`))
    await runOrNull('ip', ['link', 'delete', 'dev', probeNamespace, 'type', 'veth']);
  if (availableBackends(system.isInstalled).includes('nftables'))
    await runOrNull('nft', ['-f', '-'], { input: removeCounters });
  await runOrNull('ip', ['netns', 'delete', probeNamespace]);
}
