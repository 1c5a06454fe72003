// Findings of a probe: the stages of the path from a machine to the outside.
import type { MarkedRoute } from '../../network/marked-route.ts';
import type { Uplink } from '../../network/uplink.ts';
import type { ZoneSource } from '../../other-firewalls/firewalld-sources.ts';
import { firewalldTable } from '../../other-firewalls/model.ts';
import type { Detail, Drop, Packet } from '../details.ts';
import { type CheckId, type Finding, fail, ok, skipped, warn } from '../finding.ts';
import type { Counters } from './counters.ts';
import type { Drops } from './drops.ts';
import type { Diversions } from './marks.ts';
import type { OutsidePromise } from './promise.ts';
import type { DnsReport, LeaseReport, ProbeReport, UpstreamReport } from './protocol.ts';

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
  /** How many packets of the host the reverse path filter dropped meanwhile. */
  readonly reversePathDrops: number;
  /** Empty where packets were not traced. */
  readonly drops: Drops;
  readonly diversions: Diversions;
  /** Of firewalld, where it dropped a packet: a source that machines' addresses are in; null for none. */
  readonly zoneSource: ZoneSource | null;
  /** A rule that keeps packets to the outside from being tracked; null where none was seen. */
  readonly untracking: Drop | null;
}

const stages = [
  'probe-port',
  'probe-lease',
  'probe-dns',
  'probe-forward',
  'probe-masquerade',
  'probe-return',
  'upstream-dns',
] as const satisfies readonly CheckId[];

type Stage = (typeof stages)[number];

/** Judges each stage, in the order of a packet's path. */
export function judgeProbe(facts: ProbeFacts): Finding[] {
  const { report, portWaitedMs } = facts;
  const port = judgePort(facts);
  if (portWaitedMs === null || report === null)
    return [port, ...skipAfter('probe-port', { kind: 'not-reached' })];
  const lease = judgeLease(facts, report.lease);
  if (report.lease.kind !== 'leased')
    return [port, lease, ...skipAfter('probe-lease', { kind: 'probe-not-leased' })];
  return [port, lease, judgeDns(facts, report.dns), ...judgeOutside(facts, report)];
}

function judgeOutside(facts: ProbeFacts, report: ProbeReport): Finding[] {
  const { isolated, promise } = facts;
  const upstream = isolated
    ? skipped('upstream-dns', { kind: 'kept-inside' })
    : judgeUpstream(report.dns, report.upstream);
  if (promise === 'kept-inside') return [...judgeKeptInside(facts), upstream];
  const path = judgePath(facts, report);
  // Nothing is promised, so nothing is broken.
  return [...(promise === 'unknown' ? path.map(asReport) : path), upstream];
}

function asReport(finding: Finding): Finding {
  return finding.state === 'fail' ? { ...finding, state: 'warn' } : finding;
}

/**
 * Judges the stages of a network whose packets must not leave the host. An answer to the probe says nothing:
 * virlan's rejection looks like one.
 */
function judgeKeptInside({ uplink, counters }: ProbeFacts): Finding[] {
  const nextHop = uplink.kind === 'via' ? uplink.gateway : null;
  return [
    judgeNothingForwarded(nextHop, counters),
    skipped('probe-masquerade', { kind: 'kept-inside' }),
    skipped('probe-return', { kind: 'kept-inside' }),
  ];
}

function judgeNothingForwarded(nextHop: string | null, counters: Counters | null): Finding {
  if (nextHop === null) return ok('probe-forward', { kind: 'kept-inside' });
  if (counters === null) return skipped('probe-forward', { kind: 'packets-not-counted' });
  return counters.plain + counters.masqueraded > 0
    ? fail('probe-forward', { kind: 'not-kept-inside', nextHop })
    : ok('probe-forward', { kind: 'kept-inside' });
}

/** Returns the findings of a probe that was not sent, for the reason given. */
export function notSent(reason: Detail): Finding[] {
  return stages.map(check => skipped(check, reason));
}

/** Skips the stages that follow one. */
function skipAfter(stage: Stage, reason: Detail): Finding[] {
  return stages.slice(stages.indexOf(stage) + 1).map(check => skipped(check, reason));
}

function judgePort({ bridge, portWaitedMs }: ProbeFacts): Finding {
  return portWaitedMs === null
    ? fail('probe-port', { kind: 'probe-port-waits', bridge })
    : ok('probe-port', { kind: 'probe-port-forwards', waitedMs: portWaitedMs });
}

function judgeLease(facts: ProbeFacts, lease: LeaseReport): Finding {
  const { bridge, gateway, ip, dnsmasqTold, drops } = facts;
  switch (lease.kind) {
    case 'leased':
      return lease.ip === ip
        ? ok('probe-lease', { kind: 'probe-leased', ip })
        : fail('probe-lease', { kind: 'wrong-lease', bridge, leased: lease.ip, reserved: ip });
    case 'refused':
      return fail('probe-lease', { kind: 'offer-withdrawn', bridge });
    case 'silent': {
      const { after } = lease;
      if (drops.dhcp != null) return dropped('probe-lease', { kind: 'dhcp' }, drops.dhcp, facts);
      return fail(
        'probe-lease',
        dnsmasqTold ? { kind: 'dhcp-silent', bridge, after } : { kind: 'dhcp-not-running', gateway, after },
      );
    }
  }
}

function judgeDns(facts: ProbeFacts, dns: DnsReport | null): Finding {
  const { gateway, ip, drops, diversions } = facts;
  if (dns === null) return skipped('probe-dns', { kind: 'not-reached' });
  switch (dns.kind) {
    case 'answered':
      return dns.addresses.includes(ip)
        ? ok('probe-dns', { kind: 'probe-name-known', gateway })
        : fail('probe-dns', { kind: 'probe-name-unknown', gateway });
    case 'failed':
      if (drops.dns != null) return dropped('probe-dns', { kind: 'dns', gateway }, drops.dns, facts);
      return diversions.dns == null
        ? fail('probe-dns', { kind: 'dns-silent', gateway, code: dns.code })
        : diverted('probe-dns', { kind: 'returning', from: gateway }, diversions.dns, facts);
  }
}

/** Judges the stages `probe-forward`, `probe-masquerade` and `probe-return`. */
function judgePath(facts: ProbeFacts, { nextHopAnswers }: ProbeReport): Finding[] {
  const { uplink, counters } = facts;
  if (uplink.kind === 'unreachable') return skipPath({ kind: 'outside-unreachable' });
  const { dev, gateway: nextHop } = uplink;
  if (nextHop === null) return skipPath({ kind: 'next-hop-unknown', dev });
  const way = { ...facts, dev, nextHop, nextHopAnswers: nextHopAnswers === true };
  return counters === null ? judgeUncounted(way) : judgeCounted({ ...way, counters });
}

function skipPath(reason: Detail): Finding[] {
  return (['probe-forward', 'probe-masquerade', 'probe-return'] as const).map(check =>
    skipped(check, reason),
  );
}

/** A probe with a next hop to ask. */
interface PathFacts extends ProbeFacts {
  readonly dev: string;
  readonly nextHop: string;
  readonly nextHopAnswers: boolean;
}

interface CountedPath extends PathFacts {
  readonly counters: Counters;
}

function judgeUncounted(way: PathFacts): Finding[] {
  const { dev, nextHop, nextHopAnswers, drops } = way;
  const masqueraded = skipped('probe-masquerade', { kind: 'packets-not-counted' });
  if (nextHopAnswers)
    return [
      ok('probe-forward', { kind: 'forwarded', dev }),
      masqueraded,
      ok('probe-return', { kind: 'next-hop-answers', nextHop }),
    ];
  if (drops.outgoing != null)
    return stoppedInHost(dropped('probe-forward', { kind: 'outgoing', to: nextHop }, drops.outgoing, way));
  return [skipped('probe-forward', { kind: 'packets-not-counted' }), masqueraded, judgeUncountedReturn(way)];
}

function judgeUncountedReturn(way: PathFacts): Finding {
  const { dev, nextHop, hostAnswered, drops, promise } = way;
  if (drops.returning != null)
    return dropped('probe-return', { kind: 'returning', from: nextHop }, drops.returning, way);
  // With addresses of its own, a machine may only lack a route to it.
  return hostAnswered && promise === 'masqueraded'
    ? fail('probe-return', { kind: 'answers-host-only', nextHop, dev })
    : warn('probe-return', { kind: 'silence-unexplained', nextHop });
}

/** Returns the findings of the path where a packet to the outside does not leave the host. */
function stoppedInHost(forward: Finding): Finding[] {
  return [
    forward,
    skipped('probe-masquerade', { kind: 'nothing-forwarded' }),
    skipped('probe-return', { kind: 'nothing-forwarded' }),
  ];
}

function judgeCounted(way: CountedPath): Finding[] {
  const { dev, counters, promise, untracking } = way;
  if (counters.plain + counters.masqueraded === 0) return stoppedInHost(judgeNotForwarded(way));
  const forwarded = ok('probe-forward', { kind: 'forwarded', dev });
  if (promise !== 'masqueraded') return [forwarded, judgeOwnAddress(way), judgeReturn(way)];
  return counters.plain > 0
    ? [
        forwarded,
        fail(
          'probe-masquerade',
          untracking === null
            ? { kind: 'not-masqueraded', dev }
            : { kind: 'not-tracked', dev, by: untracking },
        ),
        skipped('probe-return', { kind: 'no-return-possible' }),
      ]
    : [forwarded, ok('probe-masquerade', { kind: 'masqueraded' }), judgeReturn(way)];
}

function judgeOwnAddress({ promise, dev, counters: { masqueraded } }: CountedPath): Finding {
  if (masqueraded === 0) return ok('probe-masquerade', { kind: 'own-address-kept' });
  return promise === 'unknown'
    ? ok('probe-masquerade', { kind: 'masqueraded' })
    : fail('probe-masquerade', { kind: 'own-address-lost', dev });
}

function judgeNotForwarded(way: CountedPath): Finding {
  const { bridge, dev, nextHop, counters, drops, diversions } = way;
  const packet = { kind: 'outgoing', to: nextHop } as const;
  if (drops.outgoing != null) return dropped('probe-forward', packet, drops.outgoing, way);
  if (diversions.outgoing != null) return diverted('probe-forward', packet, diversions.outgoing, way);
  return fail(
    'probe-forward',
    counters.entered === 0
      ? { kind: 'lost-before-host', nextHop }
      : { kind: 'lost-in-host', nextHop, bridge, dev },
  );
}

function judgeReturn(way: CountedPath): Finding {
  const { dev, nextHop, nextHopAnswers, counters, hostAnswered, drops, promise, subnet } = way;
  if (nextHopAnswers) return ok('probe-return', { kind: 'next-hop-answers', nextHop });
  const answer = { kind: 'returning', from: nextHop } as const;
  if (drops.returning != null) return dropped('probe-return', answer, drops.returning, way);
  if (way.diversions.returning != null)
    return diverted('probe-return', answer, way.diversions.returning, way);
  // After the last point where packets are counted.
  if (drops.outgoing != null && counters.arrived === 0)
    return dropped('probe-return', { kind: 'outgoing', to: nextHop }, drops.outgoing, way);
  if (counters.returned > 0)
    return fail(
      'probe-return',
      way.reversePathDrops > 0
        ? { kind: 'reverse-path-dropped', packet: answer }
        : { kind: 'answer-lost', nextHop },
    );
  if (hostAnswered && promise === 'own-address' && counters.masqueraded === 0)
    return warn('probe-return', { kind: 'route-missing', nextHop, subnet });
  if (hostAnswered) return fail('probe-return', { kind: 'answers-host-only', nextHop, dev });
  return ok('probe-return', { kind: 'next-hop-silent', nextHop });
}

function judgeUpstream(dns: DnsReport | null, upstream: UpstreamReport | null): Finding {
  if (upstream === null || dns?.kind === 'failed')
    return skipped('upstream-dns', { kind: 'gateway-dns-silent' });
  return upstream.kind === 'answered'
    ? ok('upstream-dns', { kind: 'outside-names-resolve' })
    : warn('upstream-dns', { kind: 'outside-names-fail', code: upstream.code });
}

function dropped(check: Stage, packet: Packet, drop: Drop, { bridge, zoneSource }: ProbeFacts): Finding {
  // A request for a lease has no address of the machine yet.
  const isByZone = zoneSource !== null && drop.table === firewalldTable && packet.kind !== 'dhcp';
  return fail(
    check,
    isByZone
      ? { kind: 'dropped-by-zone', packet, drop, by: zoneSource }
      : { kind: 'packet-dropped', packet, drop, bridge },
  );
}

function diverted(check: Stage, packet: Packet, route: MarkedRoute, { subnet }: ProbeFacts): Finding {
  return fail(check, { kind: 'routed-by-mark', packet, route, subnet });
}
