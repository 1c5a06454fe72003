import { createSocket } from 'node:dgram';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { formatIp, type Ipv4, parseIpv4 } from '../../address/ip.ts';
import type { Mac } from '../../address/mac.ts';
import type { NetworkConfig } from '../../config/config.ts';
import { findDnsmasq } from '../../dnsmasq/process.ts';
import { availableBackends } from '../../firewall/backends.ts';
import { dropProbe, hasProbe, readLeases, reserveProbe } from '../../identity/store.ts';
import { readUplink } from '../../network/uplink.ts';
import { LockTimeout, withLock } from '../../system/lock.ts';
import { paths } from '../../system/paths.ts';
import { run, runOrNull } from '../../system/run.ts';
import { system } from '../../system/system.ts';
import type { Finding } from '../finding.ts';
import { counterTable, findDrop, parseCounters, removeCounters, renderCounters } from './counters.ts';
import { dhcpType, encodeDhcp } from './dhcp.ts';
import { judgeProbe, type ProbeFacts, unprobed } from './judge.ts';
import { probeMac } from './mac.ts';
import type { Errand, Exchange } from './protocol.ts';
import { knock } from './reachability.ts';
import { traced } from './trace.ts';

/** The probe's network namespace, the host's end of its link, and its host name. */
const place = 'virlan-probe';

/** How long one probe waits for another, in seconds. */
const patience = 20;

/** The longest that a port is waited for, in milliseconds: STP at its fastest takes 4 s (see `forwardDelay` in network/desired.ts). */
const portPatience = 5000;

/** How often a port's state is looked at, in milliseconds: the kernel tells of it by netlink only. */
const portEvery = 20;

/**
 * Sends a probe through a network: a network namespace on its bridge, as good as a machine, that takes a lease from an
 * address reserved for it, asks for a name and sends a packet to the outside. Gone afterwards, whatever happens.
 */
export async function probe(network: NetworkConfig): Promise<Finding[]> {
  try {
    return await withLock(paths.probeLock, patience, async () => {
      await clearRemains(network);
      try {
        return await sendProbe(network);
      } finally {
        await clearRemains(network);
      }
    });
  } catch (error) {
    return unprobed((error as Error).message);
  }
}

/** Takes away what a probe left that was killed. One that is out is let be. */
export async function clearProbe(network: NetworkConfig): Promise<void> {
  if (!hasRemains(network)) return;
  try {
    await withLock(paths.probeLock, 0, () => clearRemains(network));
  } catch (error) {
    if (!(error instanceof LockTimeout)) throw error;
  }
}

async function sendProbe(network: NetworkConfig): Promise<Finding[]> {
  const { bridge } = network;
  // The first to come and the last to go: while anything of a probe is there, it is.
  await run('ip', ['netns', 'add', place]);
  const mac = probeMac(bridge);
  const reserved = await reserveProbe(network, { mac, hostname: place });
  if (reserved === null) return unprobed('no address of dhcp-range is to spare for a probe');
  const { ip, told } = reserved;
  await plugIn(network, mac);
  const [waited, uplink] = await Promise.all([portForwards(), readUplink(system, bridge, ip)]);
  const target = uplink.kind === 'via' ? uplink.gateway : null;
  const counting = { bridge, mac, ip, target: parseIpv4(target ?? '') ?? network.gateway };
  const errand: Errand = {
    mac,
    prefix: network.subnet.length,
    gateway: formatIp(network.gateway),
    name: `${place}.${network.domain}`,
    target,
    asksUpstream: true,
  };
  const facts: ProbeFacts = {
    bridge,
    gateway: errand.gateway,
    ip: formatIp(ip),
    told,
    waited,
    uplink,
    exchange: null,
    counters: null,
    hostAnswered: null,
    drops: {},
  };
  if (waited === null) return judgeProbe(facts);

  const canCount = availableBackends(system.isInstalled).includes('nftables');
  if (canCount) await run('nft', ['-f', '-'], renderCounters(counting, false));
  const exchange = await perform(errand);
  const counters = canCount ? await readCounters() : null;
  const hostAnswered = exchange.answered === false && target !== null ? await knock(target) : null;
  const seen = { ...facts, exchange, counters, hostAnswered };
  if (!canCount || !isWorthTracing(seen)) return judgeProbe(seen);
  const lines = await traced(renderCounters(counting, true), () =>
    perform({ ...errand, asksUpstream: false }),
  );
  return judgeProbe({ ...seen, drops: findDrops(lines, errand) });
}

async function plugIn({ bridge, mtu }: NetworkConfig, mac: Mac): Promise<void> {
  const outer = [
    `link add name ${place} mtu ${mtu} type veth peer name eth0 address ${mac} mtu ${mtu} netns ${place}`,
    `link set dev ${place} master ${bridge} up`,
  ];
  // Without an address of its own, only a route lets it send a broadcast.
  const inner = ['link set dev lo up', 'link set dev eth0 up', 'route add default dev eth0'];
  await run('ip', ['-batch', '-'], outer.map(line => `${line}\n`).join(''));
  await run('ip', ['-netns', place, '-batch', '-'], inner.map(line => `${line}\n`).join(''));
}

/** How long it took until the bridge forwards what the probe sends, in milliseconds; null when it does not in time. */
async function portForwards(): Promise<number | null> {
  const began = performance.now();
  for (;;) {
    const waited = performance.now() - began;
    // 3 is BR_STATE_FORWARDING in linux/if_bridge.h. The kernel lets nobody set it where it runs STP itself.
    if (readFileSync(`/sys/class/net/${place}/brport/state`, 'utf8').trim() === '3') return waited;
    if (waited > portPatience) return null;
    await pause(portEvery);
  }
}

/** Runs the errand within the namespace. */
async function perform(errand: Errand): Promise<Exchange> {
  const program = require.resolve('../../bin/probe-guest.ts');
  const args = ['netns', 'exec', place, process.execPath, program];
  return JSON.parse(await run('ip', args, JSON.stringify(errand)));
}

async function readCounters(): Promise<ProbeFacts['counters']> {
  return parseCounters((await runOrNull('nft', ['--json', 'list', 'table', 'ip', counterTable])) ?? '');
}

/** Whether something was lost that the kernel may tell of. */
function isWorthTracing({ exchange, counters }: ProbeFacts): boolean {
  if (exchange === null || counters === null) return false;
  const { lease, dns, answered } = exchange;
  const isLost = !('ip' in lease) || (dns !== null && 'error' in dns);
  const isLostOnTheWay =
    answered === false && (counters.plain + counters.masqueraded === 0 || counters.returned > 0);
  return isLost || isLostOnTheWay;
}

function findDrops(lines: readonly string[], { gateway, target }: Errand): ProbeFacts['drops'] {
  const has = (packet: string, ...words: readonly string[]) =>
    words.every(word => packet.includes(` ${word} `));
  return {
    lease: findDrop(lines, packet => has(packet, 'udp dport 67') || has(packet, 'udp sport 67')),
    dns: findDrop(
      lines,
      packet =>
        has(packet, `ip daddr ${gateway}`, 'udp dport 53') ||
        has(packet, `ip saddr ${gateway}`, 'udp sport 53'),
    ),
    out: findDrop(lines, packet => has(packet, `ip daddr ${target}`)),
    back: findDrop(lines, packet => has(packet, `ip saddr ${target}`)),
  };
}

function hasRemains({ bridge }: NetworkConfig): boolean {
  const isLeased = readLeases(bridge).some(({ mac }) => mac === probeMac(bridge));
  return existsSync(`/run/netns/${place}`) || isLeased || hasProbe(bridge);
}

/** Goes on where something fails: what is still there then, the next probe takes away. */
async function clearRemains(network: NetworkConfig): Promise<void> {
  const { bridge } = network;
  for (const lease of readLeases(bridge).filter(({ mac }) => mac === probeMac(bridge)))
    await release(network, lease.ip);
  await dropProbe(bridge);
  if (!existsSync(`/run/netns/${place}`)) return;
  if (existsSync(`/sys/class/net/${place}`))
    await runOrNull('ip', ['link', 'delete', 'dev', place, 'type', 'veth']);
  if (availableBackends(system.isInstalled).includes('nftables'))
    await runOrNull('nft', ['-f', '-'], removeCounters);
  await runOrNull('ip', ['netns', 'delete', place]);
}

/** Gives the lease back in the probe's name. dnsmasq takes that from the host, too, and answers nothing. */
async function release({ bridge, gateway }: NetworkConfig, ip: Ipv4): Promise<void> {
  if (findDnsmasq(bridge) === null) return;
  const message = encodeDhcp({
    type: dhcpType.release,
    transaction: 0,
    mac: probeMac(bridge),
    ip,
    server: gateway,
  });
  const socket = createSocket('udp4');
  socket.on('error', () => {});
  await new Promise<void>(resolve => socket.send(message, 67, formatIp(gateway), () => resolve()));
  socket.close();
}
