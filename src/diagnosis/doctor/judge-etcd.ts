// Findings about etcd, and about what it has of a network.
import type { AddressFault, HostFault } from '../../shared-ledger/faults.ts';
import type { MemberReport } from '../../shared-ledger/member-report.ts';
import type { EtcdMember } from '../etcd-details.ts';
import { type CheckId, type Finding, ok, type State, skipped, warn } from '../finding.ts';
import type { NetworkFacts } from './facts.ts';

/** A member that takes longer for a write is slow. The watcher ends a connection without an answer after 5 s. */
const slowMs = 2000;

/** Clocks that differ by more are apart. That of a member is known to a second and half of the time of its answer. */
const apartMs = 10_000;

/** Judges etcd and the shared ledger. None where the ledger is this host's own. */
export function judgeEtcd({ etcd: report }: Pick<NetworkFacts, 'etcd'>): Finding[] {
  if (report === null) return [];
  const { etcd, members, faults } = report;
  // One member that serves is enough.
  const failure: State = faults === null ? 'fail' : 'warn';
  const unread = (check: CheckId) => [skipped(check, { kind: 'etcd-not-read' })];
  // A file that cannot be read is the same for all of them.
  const isFile = ({ answer }: MemberReport) => answer.kind === 'failed' && answer.reason === 'file';
  const shown = members.filter((each, index) => index === 0 || !isFile(each));
  return [
    ...shown.map(member => judgeMember(member, { endpoint: member.endpoint, etcd }, failure)),
    judgeClock(members),
    ...(faults === null
      ? unread('hosts')
      : judgeFaults('hosts', faults.hosts, ok('hosts', { kind: 'hosts-alive', host: etcd.address }))),
    ...(faults === null
      ? unread('addresses')
      : judgeFaults('addresses', faults.addresses, ok('addresses', { kind: 'addresses-unique' }))),
  ];
}

/** Judges one member. `failure`: the state of a finding about one that does not serve. */
function judgeMember({ answer }: MemberReport, member: EtcdMember, failure: State): Finding {
  switch (answer.kind) {
    case 'serves': {
      const { writeMs } = answer;
      return writeMs > slowMs
        ? warn('etcd', { kind: 'etcd-slow', ...member, writeMs, limitMs: slowMs })
        : ok('etcd', { kind: 'etcd-serves', ...member, writeMs });
    }
    case 'no-quorum':
      return { check: 'etcd', state: failure, detail: { kind: 'etcd-no-quorum', ...member } };
    case 'failed': {
      const { reason, message, isAboutTime } = answer;
      const kind = isAboutTime ? 'etcd-certificate-time' : (`etcd-${reason}` as const);
      return { check: 'etcd', state: failure, detail: { kind, ...member, message } };
    }
  }
}

/** Compares the clocks of all members with that of this host: all hosts do, so it shows whose is wrong. */
function judgeClock(members: readonly MemberReport[]): Finding {
  const known = members.flatMap(({ endpoint, aheadMs }) => (aheadMs === null ? [] : [{ endpoint, aheadMs }]));
  const [least, ...others] = known.toSorted((a, b) => Math.abs(a.aheadMs) - Math.abs(b.aheadMs));
  if (least === undefined) return skipped('clock', { kind: 'clocks-unknown' });
  const most = others.at(-1) ?? least;
  if (Math.abs(most.aheadMs) <= apartMs) return ok('clock', { kind: 'clocks-agree', limitMs: apartMs });
  const isHost =
    Math.abs(least.aheadMs) > apartMs &&
    known.every(({ aheadMs }) => Math.sign(aheadMs) === Math.sign(least.aheadMs));
  return isHost
    ? warn('clock', { kind: 'clock-of-host', aheadMs: -least.aheadMs })
    : warn('clock', { kind: 'clock-of-member', ...most });
}

/** A host that is gone is not a failure of this one. */
function judgeFaults(
  check: CheckId,
  faults: readonly (HostFault | AddressFault)[],
  well: Finding,
): Finding[] {
  if (faults.length === 0) return [well];
  return faults.map(fault => ({ check, state: fault.kind === 'host-dead' ? 'warn' : 'fail', detail: fault }));
}
