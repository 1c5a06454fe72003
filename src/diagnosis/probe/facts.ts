// The facts that a probe collects, and the stages of the path from a machine to the outside by which it is judged.
import type { Uplink } from '../../network/routes/uplink.ts';
import type { ZoneSource } from '../../other-firewalls/firewalld-sources.ts';
import type { CheckId } from '../finding.ts';
import type { Drop } from '../packet-drop.ts';
import type { Counters } from './counters.ts';
import type { Drops, Untracking } from './drops.ts';
import type { Diversions } from './marks.ts';
import type { OutsidePromise } from './promise.ts';
import type { ProbeReport } from './protocol.ts';
import type { Takings } from './takings.ts';

/** The facts that a probe collected. */
export interface ProbeFacts {
  readonly promise: OutsidePromise;
  readonly subnet: string;
  /** True with `mode = isolated`. */
  readonly isolated: boolean;
  readonly bridge: string;
  readonly gateway: string;
  /** The address that was reserved for the probe. */
  readonly ip: string;
  /** True if dnsmasq ran and was told of the reservation. */
  readonly dnsmasqTold: boolean;
  /** The time until the probe's port forwarded; null when it did not before the timeout. */
  readonly portWaitedMs: number | null;
  readonly report: ProbeReport | null;
  readonly uplink: Uplink;
  /** Null where nft is not installed. */
  readonly counters: Counters | null;
  /** True if the next hop answers the host itself; null where it was not asked. */
  readonly hostAnswered: boolean | null;
  /** True if it does not answer ARP either. */
  readonly isUnresolved: boolean;
  /** The number of packets of the host that the reverse path filter dropped meanwhile. */
  readonly reversePathDrops: number;
  /** Empty where packets were not traced. */
  readonly drops: Drops;
  readonly diversions: Diversions;
  /** Empty where no packet was lost. */
  readonly takings: Takings;
  /** Of firewalld, where it dropped a packet: a source that machines' addresses are in; null for none. */
  readonly zoneSource: ZoneSource | null;
  readonly untracking: Untracking;
  /** The rule that sends DNS queries to the gateway elsewhere; null where none was seen. */
  readonly dnsTranslatedBy: Drop | null;
  /** The rule that drops what is asked of name servers outside, or their answers; null where none was seen. */
  readonly upstreamDrop: Drop | null;
}

/** The stages, in the order of a packet's path. */
export const stages = [
  'probe-port',
  'probe-lease',
  'probe-dns',
  'probe-forward',
  'probe-masquerade',
  'probe-return',
  'upstream-dns',
] as const satisfies readonly CheckId[];

export type Stage = (typeof stages)[number];
