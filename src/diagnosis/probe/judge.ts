// Findings of a probe: the stages of the path from a machine to the outside.
import type { Detail } from '../details.ts';
import { type Finding, fail, ok, skipped, warn } from '../finding.ts';
import type { Counters } from './counters.ts';
import { type ProbeFacts, type Stage, stages } from './facts.ts';
import { lost } from './judge-loss.ts';
import { judgePath } from './judge-path.ts';
import {
  type DnsReport,
  isNameUnknown,
  type LeaseReport,
  type ProbeReport,
  type UpstreamReport,
} from './protocol.ts';

/** Judges each stage, in the order of a packet's path. */
export function judgeProbe(facts: ProbeFacts): Finding[] {
  const { report, portWaitedMs } = facts;
  const port = judgePort(facts);
  if (portWaitedMs === null || report === null)
    return [port, ...skipAfter('probe-port', { kind: 'not-reached' })];
  const lease = judgeLease(facts, report.lease);
  if (report.lease.kind !== 'leased')
    return [port, lease, ...skipAfter('probe-lease', { kind: 'probe-not-leased' })];
  if (report.dns?.kind === 'unresolved')
    return [
      port,
      lease,
      fail('probe-dns', { kind: 'arp-silent', gateway: facts.gateway, bridge: facts.bridge }),
      ...skipAfter('probe-dns', { kind: 'not-reached' }),
    ];
  return [port, lease, judgeDns(facts, report.dns), ...judgeOutside(facts, report)];
}

function judgeOutside(facts: ProbeFacts, report: ProbeReport): Finding[] {
  const { isolated, promise } = facts;
  const upstream = isolated
    ? skipped('upstream-dns', { kind: 'kept-inside' })
    : judgeUpstream(facts, report.dns, report.upstream);
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
  const { bridge, gateway, ip, dnsmasqTold } = facts;
  switch (lease.kind) {
    case 'leased':
      return lease.ip === ip
        ? ok('probe-lease', { kind: 'probe-leased', ip })
        : fail('probe-lease', { kind: 'wrong-lease', bridge, leased: lease.ip, reserved: ip });
    case 'refused':
      return fail('probe-lease', { kind: 'offer-withdrawn', bridge });
    case 'silent': {
      const { after } = lease;
      return (
        lost('probe-lease', { kind: 'dhcp' }, facts) ??
        fail(
          'probe-lease',
          dnsmasqTold ? { kind: 'dhcp-silent', bridge, after } : { kind: 'dhcp-not-running', gateway, after },
        )
      );
    }
  }
}

function judgeDns(facts: ProbeFacts, dns: Exclude<DnsReport, { kind: 'unresolved' }> | null): Finding {
  const { gateway, ip } = facts;
  if (dns === null) return skipped('probe-dns', { kind: 'not-reached' });
  switch (dns.kind) {
    case 'answered':
      return isNameUnknown(dns, ip)
        ? (redirected(facts) ?? fail('probe-dns', { kind: 'probe-name-unknown', gateway }))
        : ok('probe-dns', { kind: 'probe-name-known', gateway });
    case 'failed':
      return (
        lost('probe-dns', { kind: 'dns', gateway }, facts) ??
        redirected(facts) ??
        fail('probe-dns', { kind: 'dns-silent', gateway, code: dns.code })
      );
  }
}

/** Returns the failure of DNS whose queries a rule sends elsewhere; null where none was seen. */
function redirected({ bridge, gateway, dnsTranslatedBy: by }: ProbeFacts): Finding | null {
  return by === null ? null : fail('probe-dns', { kind: 'dns-redirected', gateway, by, bridge });
}

function judgeUpstream(
  { upstreamDrop: drop }: ProbeFacts,
  dns: DnsReport | null,
  upstream: UpstreamReport | null,
): Finding {
  if (upstream === null || dns?.kind === 'failed')
    return skipped('upstream-dns', { kind: 'gateway-dns-silent' });
  if (upstream.kind === 'answered') return ok('upstream-dns', { kind: 'outside-names-resolve' });
  return drop !== null
    ? fail('upstream-dns', { kind: 'upstream-dropped', drop })
    : warn('upstream-dns', { kind: 'outside-names-fail', code: upstream.code });
}
