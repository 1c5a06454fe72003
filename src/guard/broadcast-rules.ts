// The guard's rules for frames to all machines, or to a group of them: how many. A machine with two NICs on the network
// and a bridge between them sends each such frame round and round, and the spanning tree, which would find that loop,
// ends at the guard. Each copy costs the host as much as all machines that hear it.
import { deny } from './denials.ts';
import { dynamicSet } from './limited-values.ts';

/** A stream of video to a group has some thousands. */
export const broadcastsPerSecond = 10_000;
const broadcastsAtOnce = 2 * broadcastsPerSecond;

const more = `limit rate over ${broadcastsPerSecond}/second burst ${broadcastsAtOnce} packets`;

/** The rule for a frame. */
export const broadcastRule = `meta pkttype { broadcast, multicast } update @broadcasts { iifname ${more} } goto deny_broadcast`;

/** The chain that it leads to. */
export const broadcastChain: readonly [name: string, rules: readonly string[]] = [
  'deny_broadcast',
  deny('broadcasts'),
];

/** The set that limits frames, with its declaration. */
export const broadcastSet: readonly [name: string, lines: readonly string[]] = [
  'broadcasts',
  dynamicSet('type ifname', '1m'),
];
