// Sends a probe through a network: a network namespace on its bridge that behaves like a machine. If it is killed,
// the next probe or `virlan up` recognises the remains by the namespace, the MAC of the probe (mac.ts) and the comment
// of its line in the hostsfile.
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Mac } from '../../address/mac.ts';
import type { NetworkConfig } from '../../config/config.ts';
import { readLeases, readLeasesTextOrNone } from '../../dnsmasq/lease-file.ts';
import { leasesOfMac } from '../../dnsmasq/leases.ts';
import { releaseLeases } from '../../dnsmasq/release.ts';
import { messageOf } from '../../errors.ts';
import { availableBackends } from '../../firewall/backends.ts';
import { dropProbe, hasProbe, reserveProbe } from '../../identity/store.ts';
import { readOwnUplink, readUplink, type Uplink } from '../../network/routes/uplink.ts';
import { createHostRules, type HostRules } from '../../other-firewalls/base-chains.ts';
import { readClusterCopy } from '../../records/cluster-copy.ts';
import { LockTimeout, withLock } from '../../system/lock.ts';
import { holderOf } from '../../system/lock-files.ts';
import { paths } from '../../system/paths.ts';
import { run, runOrNull } from '../../system/run.ts';
import { system } from '../../system/system.ts';
import type { Finding } from '../finding.ts';
import { removeCounters } from './counters.ts';
import type { ProbeFacts } from './facts.ts';
import { judgeProbe, notSent } from './judge.ts';
import { probeMac } from './mac.ts';
import { measure, type Plugged, unmeasured } from './measure.ts';
import { probeNamespace } from './names.ts';

const namespaceFile = `/run/netns/${probeNamespace}`;

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
export async function probe(
  network: NetworkConfig,
  rules: HostRules = createHostRules(system),
): Promise<Finding[]> {
  try {
    return await withLock(paths.probeLock, probeLockTimeoutSeconds, async () => {
      await clearRemains(network);
      try {
        return await sendProbe(network, rules);
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
  if (hasRemains(network)) await unlessProbing(() => clearRemains(network));
}

/** Removes the namespace of a killed probe, whichever network it was for. A probe that is running is left alone. */
export async function clearProbeNamespace(): Promise<void> {
  if (existsSync(namespaceFile)) await unlessProbing(removeNamespace);
}

async function unlessProbing(clear: () => Promise<void>): Promise<void> {
  try {
    await withLock(paths.probeLock, 0, clear);
  } catch (error) {
    if (!(error instanceof LockTimeout)) throw error;
  }
}

/** Returns whether this host may give addresses of a network: with etcd, only those that it has claimed there. */
function hasAddressesToGive({ name, sharesLedger }: NetworkConfig): boolean {
  return !sharesLedger || readClusterCopy(name).blocks.length > 0;
}

async function sendProbe(network: NetworkConfig, rules: HostRules): Promise<Finding[]> {
  const { bridge } = network;
  // Created first and deleted last: without the namespace, nothing of a probe is left.
  await run('ip', ['netns', 'add', probeNamespace]);
  const mac = probeMac(bridge);
  const reserved = await reserveProbe(network, { mac, hostname: probeNamespace });
  if (reserved === null)
    return notSent({ kind: hasAddressesToGive(network) ? 'probe-without-address' : 'probe-without-block' });
  const { ip, told } = reserved;
  await plugIn(network, mac);
  const [portWaitedMs, uplink] = await Promise.all([
    waitForPort(),
    network.mode === 'isolated' ? readOwnUplink(system) : readUplink(system, bridge, ip),
  ]);
  const plugged = { network, mac, ip, told, portWaitedMs, rules };
  return portWaitedMs === null
    ? judgeProbe(unmeasured(plugged, uplink))
    : judgeProbe(await measureByMark(plugged, uplink));
}

/** Measures a probe again if its packets get a mark because of which they leave by another uplink. */
async function measureByMark(plugged: Plugged, uplink: Uplink): Promise<ProbeFacts> {
  const { network, ip } = plugged;
  const { facts, marks } = await measure(plugged, uplink);
  if (marks.outgoing === undefined) return facts;
  const marked = await readUplink(system, network.bridge, ip, marks.outgoing);
  const isElsewhere = marked.kind === 'via' && !isDeepStrictEqual(marked, uplink);
  return isElsewhere ? (await measure(plugged, marked)).facts : facts;
}

async function plugIn({ bridge, mtu }: NetworkConfig, mac: Mac): Promise<void> {
  const peer = `name eth0 address ${mac} mtu ${mtu} netns ${probeNamespace}`;
  const outer = [
    `link add name ${probeNamespace} mtu ${mtu} type veth peer ${peer}`,
    `link set dev ${probeNamespace} master ${bridge} up`,
  ];
  const inner = ['link set dev lo up', 'link set dev eth0 up'];
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

function hasRemains(network: NetworkConfig): boolean {
  const { bridge } = network;
  const isLeased = readLeases(bridge).some(({ mac }) => mac === probeMac(bridge));
  // A probe that was killed before it changed anything leaves only its lock.
  const isLocked = holderOf(paths.probeLock) !== null;
  return existsSync(namespaceFile) || isLeased || hasProbe(network) || isLocked;
}

/** Removes the remains of a probe. Continues after a failure: the next probe removes the rest. */
async function clearRemains(network: NetworkConfig): Promise<void> {
  const { bridge } = network;
  await releaseLeases(network, () => leasesOfMac(readLeasesTextOrNone(bridge), probeMac(bridge)));
  await dropProbe(network);
  await removeNamespace();
}

async function removeNamespace(): Promise<void> {
  if (!existsSync(namespaceFile)) return;
  if (existsSync(`/sys/class/net/${probeNamespace}`))
    await runOrNull('ip', ['link', 'delete', 'dev', probeNamespace, 'type', 'veth']);
  if (availableBackends(system.isInstalled).includes('nftables'))
    await runOrNull('nft', ['-f', '-'], { input: removeCounters });
  await runOrNull('ip', ['netns', 'delete', probeNamespace]);
}
