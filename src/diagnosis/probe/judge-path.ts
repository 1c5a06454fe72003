// Findings of a probe about the path to the outside and back.
import type { Detail } from '../details.ts';
import { type Finding, fail, ok, skipped, warn } from '../finding.ts';
import type { Counters } from './counters.ts';
import type { ProbeFacts } from './facts.ts';
import { dropped, lost } from './judge-loss.ts';
import type { ProbeReport } from './protocol.ts';

/** Judges the stages `probe-forward`, `probe-masquerade` and `probe-return`. */
export function judgePath(facts: ProbeFacts, report: ProbeReport): Finding[] {
  const findings = judgePackets(facts, report);
  const refused = facts.uplink.kind === 'via' ? judgeConnections(facts) : null;
  // Prefers a packet that was sent and lost: rules alone say less.
  if (refused === null || findings.some(({ state }) => state === 'fail')) return findings;
  return findings.map(finding => (finding.check === refused.check ? refused : finding));
}

/** Returns the failure of TCP connections to the outside, of which the probe opens none; null where none is known. */
function judgeConnections(facts: ProbeFacts): Finding | null {
  const { connecting, connected } = facts.drops;
  if (connecting != null) return dropped('probe-forward', { kind: 'connecting' }, connecting, facts);
  return connected == null ? null : dropped('probe-return', { kind: 'connected' }, connected, facts);
}

function judgePackets(facts: ProbeFacts, { nextHopAnswers }: ProbeReport): Finding[] {
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
  const { dev, nextHop, nextHopAnswers } = way;
  const masqueraded = skipped('probe-masquerade', { kind: 'packets-not-counted' });
  if (nextHopAnswers)
    return [
      ok('probe-forward', { kind: 'forwarded', dev }),
      masqueraded,
      ok('probe-return', { kind: 'next-hop-answers', nextHop }),
    ];
  const stopped = lost('probe-forward', { kind: 'outgoing', to: nextHop }, way);
  if (stopped !== null) return stoppedInHost(stopped);
  return [skipped('probe-forward', { kind: 'packets-not-counted' }), masqueraded, judgeUncountedReturn(way)];
}

function judgeUncountedReturn(way: PathFacts): Finding {
  const { dev, nextHop, hostAnswered, promise } = way;
  const answerLost = lost('probe-return', { kind: 'returning', from: nextHop }, way);
  if (answerLost !== null) return answerLost;
  if (way.isUnresolved) return warn('probe-return', { kind: 'next-hop-unresolved', nextHop, dev });
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
          untracking.outgoing === null
            ? { kind: 'not-masqueraded', dev }
            : { kind: 'not-tracked', dev, by: untracking.outgoing },
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
  const { bridge, dev, nextHop, counters } = way;
  return (
    lost('probe-forward', { kind: 'outgoing', to: nextHop }, way) ??
    fail(
      'probe-forward',
      counters.entered === 0
        ? { kind: 'lost-before-host', nextHop }
        : { kind: 'lost-in-host', nextHop, bridge, dev },
    )
  );
}

function judgeReturn(way: CountedPath): Finding {
  const { dev, nextHop, nextHopAnswers, counters, hostAnswered, drops, promise, subnet, untracking } = way;
  if (nextHopAnswers) return ok('probe-return', { kind: 'next-hop-answers', nextHop });
  const answer = { kind: 'returning', from: nextHop } as const;
  // Before its drop: as it is not translated, it is for the host, whose rules may refuse it.
  // A rule that only the packets to the outside meet loses answers by their zone: one that came belongs to another.
  const untracked = untracking.returning ?? (counters.arrived > 0 ? untracking.outgoing : null);
  if (untracked !== null && counters.returned === 0)
    return fail('probe-return', { kind: 'answer-not-tracked', nextHop, by: untracked });
  const answerLost = lost('probe-return', answer, way);
  if (answerLost !== null) return answerLost;
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
  return way.isUnresolved
    ? warn('probe-return', { kind: 'next-hop-unresolved', nextHop, dev })
    : ok('probe-return', { kind: 'next-hop-silent', nextHop });
}
