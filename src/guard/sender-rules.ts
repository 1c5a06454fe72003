// The guard's rules for frames from MACs and addresses that belong to no machine: they limit the number of them
// behind one tap. The bridge learns each MAC, and the host's neighbour table each address that sends it an ARP
// request: both tables have a limited size.
import { deny } from './denials.ts';
import { frameSender, ofArp } from './matches.ts';

/**
 * The MACs and addresses beside the machine's own (nested machines, containers on macvlan, virtual addresses) that
 * may be used behind one tap, at once and again in the time that the bridge keeps a MAC.
 */
export const sendersBehindTap = 256;

/** The bridge's ageing time. */
const keptSeconds = 300;

const sets = { senders: frameSender, senders4: 'arp saddr ip' } as const;

/** Returns the chains that judge a sender, which return if it may send, and the one that they go to. */
export function senderChains(): (readonly [name: string, rules: readonly string[]])[] {
  const perHour = (sendersBehindTap * 3600) / keptSeconds;
  const more = `limit rate over ${perHour}/hour burst ${sendersBehindTap} packets`;
  const judge = (set: keyof typeof sets) => [
    `iifname . ${sets[set]} @${set} return`,
    `update @new_senders { iifname ${more} } goto deny_more_senders`,
    `add @${set} { iifname . ${sets[set]} } return`,
    // The set is full.
    'goto deny_more_senders',
  ];
  return [
    ['deny_more_senders', deny('senders')],
    ['sender', judge('senders')],
    ['sender4', judge('senders4').map(ofArp)],
  ];
}

/** Returns the names of the sets that limit senders, with their declarations. */
export function senderSets(): (readonly [name: string, lines: readonly string[]])[] {
  const limits = ['size 65535', 'flags dynamic,timeout', `timeout ${keptSeconds}s`];
  return [
    ['senders', [`typeof iifname . ${frameSender}`, ...limits]],
    ['senders4', ['type ifname . ipv4_addr', ...limits]],
    ['new_senders', ['type ifname', ...limits]],
  ];
}
