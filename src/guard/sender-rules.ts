// The guard's rules for MACs and addresses that belong to no machine: they limit the number of them behind one tap.
// The bridge learns each MAC. The host's neighbour table, which has a limit for all networks together
// (gc_thresh3, 1,024 entries), learns each address that sends it an ARP request, or that it sends a packet to: an
// answer, or what it forwards. The kernel removes no entry that changed in the last five seconds, so that a machine
// that goes through addresses would keep the host from reaching any other machine.
import { formatIp, formatPrefix } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import { deny } from './denials.ts';
import { againAfter, dynamicSet, limitValues } from './limited-values.ts';
import { frameSender, ofArp } from './matches.ts';

/**
 * The MACs beside the machine's own (nested machines, containers on macvlan) that may be used behind one tap, at once
 * and again in the time that the bridge keeps a MAC.
 */
export const sendersBehindTap = 256;

/**
 * The addresses beside the machine's own (virtual ones included), at once and again in the same time: a tap keeps a
 * quarter of the neighbour table busy at most.
 */
export const neighboursBehindTap = 128;

/** The bridge's ageing time. */
const keptSeconds = 300;

const senders = {
  known: 'senders',
  counting: 'new_senders',
  rate: againAfter(keptSeconds, sendersBehindTap),
  denied: 'deny_more_senders',
};

const neighbours = {
  known: 'neighbours',
  counting: 'new_neighbours',
  rate: againAfter(keptSeconds, neighboursBehindTap),
  denied: 'deny_more_neighbours',
};

/** Returns the chains that judge a sender or a receiver, and those that they go to. */
export function senderChains(): (readonly [name: string, rules: readonly string[]])[] {
  return [
    ['deny_more_senders', deny('senders')],
    ['deny_more_neighbours', deny('neighbours')],
    ['sender', limitValues(frameSender, senders, 'return')],
    ['sender_arp', limitValues('arp saddr ip', neighbours, 'return').map(ofArp)],
    ['sender4', limitValues('ip saddr', neighbours, 'return')],
    ['receiver4', limitValues('ip daddr', neighbours, 'return')],
  ];
}

type Addresses = Pick<NetworkConfig, 'subnet' | 'gateway'>;

/**
 * Returns the rule for a packet whose sender is not the machine's own. Those to other machines do not reach the host,
 * and of addresses outside of the network, which a machine that routes has many of, the host has no neighbours.
 */
export function senderRule({ subnet }: Addresses): string {
  return `meta pkttype != other ip saddr ${formatPrefix(subnet)} iifname . ip saddr != @allow4 jump sender4`;
}

/** Returns the rule for a packet that the host is to forward to a machine. */
export function receiverRule({ subnet, gateway }: Addresses): string {
  return `meta pkttype host ip daddr ${formatPrefix(subnet)} ip daddr != ${formatIp(gateway)} jump receiver4`;
}

/** Returns the names of the sets that limit senders and neighbours, with their declarations. */
export function senderSets(): (readonly [name: string, lines: readonly string[]])[] {
  const timeout = `${keptSeconds}s`;
  return [
    ['senders', dynamicSet(`typeof iifname . ${frameSender}`, timeout)],
    ['new_senders', dynamicSet('type ifname', timeout)],
    ['neighbours', dynamicSet('type ifname . ipv4_addr', timeout)],
    ['new_neighbours', dynamicSet('type ifname', timeout)],
  ];
}
