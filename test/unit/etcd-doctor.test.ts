// etcd-doctor.test.ts: tests what the doctor finds from the answers of etcd, and from what it has of a network.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { Ipv4 } from '../../src/address/ip.ts';
import type { EtcdConfig } from '../../src/config/config.ts';
import { judgeEtcd } from '../../src/diagnosis/doctor/judge-etcd.ts';
import type { EtcdReport } from '../../src/diagnosis/etcd-report.ts';
import type { Finding } from '../../src/diagnosis/finding.ts';
import { keyOfIp, Ledger } from '../../src/identity/ledger.ts';
import type { LedgerEntry } from '../../src/identity/ledger-format.ts';
import { EtcdError, reasonOf } from '../../src/shared-ledger/etcd-error.ts';
import { findAddressFaults, findHostFaults } from '../../src/shared-ledger/faults.ts';
import { blockValue, hostValue, keyOf, machineValue, prefixOf } from '../../src/shared-ledger/keys.ts';
import { aheadOf, answerOf, type MemberAnswer } from '../../src/shared-ledger/member-report.ts';
import { Mirror } from '../../src/shared-ledger/mirror.ts';
import { entry, ip, network, uuid } from './builders.ts';

const etcdDoctor = suite('doctor of etcd');

const etcd: EtcdConfig = {
  endpoints: ['https://a:1', 'https://b:1', 'https://c:1'],
  address: ip('10.0.0.1'),
  namesPeers: true,
  ca: null,
  cert: null,
  key: null,
  user: null,
};

const serves: MemberAnswer = { kind: 'serves', writeMs: 10 };
const well: EtcdReport['faults'] = { hosts: [], addresses: [] };

function refused(reason: EtcdError['reason'], isAboutTime = false): MemberAnswer {
  return { kind: 'failed', reason, message: 'M', isAboutTime };
}

/** Returns a report; members are named a, b, c. A number is how far the clock of a member that serves is ahead. */
function reportOf(answers: readonly (MemberAnswer | number | null)[], faults = well): EtcdReport {
  const members = answers.map((each, index) => ({
    endpoint: etcd.endpoints[index] ?? '',
    ...(each === null || typeof each === 'number'
      ? { answer: serves, aheadMs: each }
      : { answer: each, aheadMs: each.kind === 'failed' ? null : 0 }),
  }));
  return { etcd, members, faults };
}

/** Returns the findings of a check as `STATE CODE`. */
function judged(report: EtcdReport, check: Finding['check']): string[] {
  return judgeEtcd({ etcd: report })
    .filter(each => each.check === check)
    .map(({ state, detail }) => `${state} ${detail.kind}`);
}

etcdDoctor('a network of one host has no findings, and one that is well no problem', () => {
  assert.deepEqual(judgeEtcd({ etcd: null }), []);
  const findings = judgeEtcd({ etcd: reportOf([serves, serves, serves]) });
  assert.deepEqual(
    findings.map(({ check, state }) => `${check} ${state}`),
    ['etcd ok', 'etcd ok', 'etcd ok', 'clock ok', 'hosts ok', 'addresses ok'],
  );
});

etcdDoctor('a member that does not serve is a failure only where no other one does', () => {
  const answers: [answer: MemberAnswer, code: string][] = [
    [{ kind: 'no-quorum' }, 'etcd-no-quorum'],
    [refused('unreachable'), 'etcd-unreachable'],
    [refused('tls'), 'etcd-tls'],
    [refused('tls', true), 'etcd-certificate-time'],
    [refused('auth'), 'etcd-auth'],
    [refused('failed'), 'etcd-failed'],
  ];
  for (const [answer, code] of answers) {
    assert.deepEqual(judged(reportOf([serves, answer]), 'etcd'), ['ok etcd-serves', `warn ${code}`]);
    const alone = reportOf([answer, answer], null);
    assert.deepEqual(judged(alone, 'etcd'), [`fail ${code}`, `fail ${code}`]);
    assert.deepEqual(judged(alone, 'hosts'), ['skipped etcd-not-read']);
    assert.deepEqual(judged(alone, 'addresses'), ['skipped etcd-not-read']);
  }
  const file = refused('file');
  assert.deepEqual(judged(reportOf([file, file, file], null), 'etcd'), ['fail etcd-file']);
});

etcdDoctor('a member is slow that takes more than 2 s', () => {
  const after = (writeMs: number) => reportOf([{ kind: 'serves', writeMs }]);
  assert.deepEqual(judged(after(2000), 'etcd'), ['ok etcd-serves']);
  assert.deepEqual(judged(after(2001), 'etcd'), ['warn etcd-slow']);
});

etcdDoctor('the clock that is wrong is that which differs from all others', () => {
  const [hour, limit] = [3_600_000, 10_000];
  const cases: [ahead: (number | null)[], finding: string, aheadMs: number | null][] = [
    [[0, 500, -900], 'ok clocks-agree', null],
    [[limit, -limit], 'ok clocks-agree', null],
    [[null, null], 'skipped clocks-unknown', null],
    [[hour, hour + 100, hour], 'warn clock-of-host', -hour],
    [[-hour, -hour + 100, null], 'warn clock-of-host', hour - 100],
    [[0, hour, 0], 'warn clock-of-member', hour],
    [[0, hour, -2 * hour], 'warn clock-of-member', -2 * hour],
    [[hour, -hour], 'warn clock-of-member', -hour],
    [[-hour], 'warn clock-of-host', hour],
  ];
  for (const [ahead, expected, aheadMs] of cases) {
    const [finding] = judgeEtcd({ etcd: reportOf(ahead) }).filter(({ check }) => check === 'clock');
    assert.equal(`${finding?.state} ${finding?.detail.kind}`, expected, `${ahead}`);
    const found = finding !== undefined && 'aheadMs' in finding.detail ? finding.detail.aheadMs : null;
    assert.equal(found, aheadMs, `${ahead}`);
  }
});

etcdDoctor('a clock in whole seconds is compared with the middle of the time of its answer', () => {
  const at = (time: string) => new Date(`2026-11-22T10:00:${time}Z`);
  assert.equal(aheadOf(at('10.000'), at('09.500'), at('11.500')), 0);
  assert.equal(aheadOf(at('40.000'), at('10.000'), at('11.000')), 30_000);
});

etcdDoctor('a failed call means what the member says of itself', () => {
  const lost = new EtcdError('unreachable', 'M');
  assert.deepEqual(answerOf(lost, false), { kind: 'no-quorum' });
  assert.deepEqual(answerOf(lost, true), refused('unreachable'));
  assert.deepEqual(answerOf(new EtcdError('auth', 'M'), false), refused('auth'));
  assert.equal(reasonOf(14, '/v3/kv/txn'), 'unreachable', 'etcdserver: no leader');
  const withCode = (code: string) => EtcdError.from(Object.assign(new Error('x'), { code }), 'h');
  for (const [code, isAboutTime] of [
    ['CERT_NOT_YET_VALID', true],
    ['CERT_HAS_EXPIRED', true],
    ['SELF_SIGNED_CERT_IN_CHAIN', false],
    ['ECONNREFUSED', false],
  ] as const) {
    const answer = answerOf(withCode(code), true);
    assert.equal(answer.kind === 'failed' && answer.isAboutTime, isAboutTime, code);
  }
});

const prefix = prefixOf(100);
const here = ip('10.0.0.1');
const there = ip('10.0.0.2');
const [mark, otherMark] = ['0123456789abcdef', 'fedcba9876543210'];
const shared = network('vni = 100', '[cluster]', 'address = 10.0.0.1', 'peers = etcd', 'etcd = https://a:1');
const member = { network: shared.name, host: here };

/** Returns the keys of etcd; a machine claims its address. */
function mirrorOf(values: Readonly<Record<string, string>>): Mirror {
  const mirror = new Mirror(shared.name, prefix);
  mirror.apply(
    Object.entries(values).map(([key, value], index) => ({
      key: `${prefix}${key}`,
      value,
      revision: index + 2,
    })),
  );
  return mirror;
}

function machineOn(host: Ipv4, { network: _, ...fields }: LedgerEntry): Record<string, string> {
  const own = entry({ ...fields });
  const value = machineValue({ host, entries: [{ entry: own, fields: {} }] });
  return {
    [keyOf.machine(own.uuid)]: value,
    ...(own.ip === null ? {} : { [keyOf.claim(keyOfIp(own.ip))]: own.uuid }),
  };
}

const alive = {
  [keyOf.host(here)]: hostValue(mark),
  [keyOf.alive(here)]: hostValue(mark),
  [keyOf.host(there)]: hostValue(otherMark),
  [keyOf.alive(there)]: hostValue(otherMark),
};

etcdDoctor('hosts: gone, with the machines that are still theirs; twice; not joined', () => {
  const faults = (values: Record<string, string>) => findHostFaults(member, mark, mirrorOf(values));
  assert.deepEqual(faults(alive), []);
  const { [keyOf.alive(there)]: _, ...withoutThere } = alive;
  assert.deepEqual(faults(withoutThere), [{ kind: 'host-dead', host: there, machines: 0 }]);
  const machines = {
    ...machineOn(there, entry({ uuid: uuid(7) })),
    ...machineOn(here, entry({ uuid: uuid(8) })),
  };
  assert.deepEqual(faults({ ...withoutThere, ...machines }), [
    { kind: 'host-dead', host: there, machines: 1 },
  ]);
  const { [keyOf.alive(here)]: __, ...withoutHere } = alive;
  assert.deepEqual(faults(withoutHere), [{ kind: 'host-not-joined', host: here }]);
  assert.deepEqual(faults({ ...alive, [keyOf.alive(here)]: hostValue(otherMark) }), [
    { kind: 'host-twice', host: here },
  ]);
  // One that has removed itself from etcd is not known any more.
  assert.deepEqual(faults({ [keyOf.host(here)]: hostValue(mark), [keyOf.alive(here)]: hostValue(mark) }), []);
});

const web = entry({ name: 'web', uuid: uuid(1), ip: ip('192.168.100.20') });
const theirs = entry({ name: 'db', uuid: uuid(2), ip: ip('192.168.100.20') });

function addressFaults(values: Record<string, string>, running: string[], blocks: [string, string][] = []) {
  const own = {
    ledger: Ledger.of([{ entry: web, fields: {} }]),
    blocks: blocks.map(([first, last]) => ({ first: ip(first), last: ip(last) })),
    running,
  };
  return findAddressFaults(member, shared, own, mirrorOf(values));
}

etcdDoctor('a machine that runs with an address that another machine has in etcd', () => {
  const taken = machineOn(there, theirs);
  const fault = {
    kind: 'address-of-another',
    ip: web.ip,
    machine: 'web',
    holder: { machine: 'db', host: there },
  };
  assert.deepEqual(addressFaults(taken, [uuid(1)]), [fault]);
  assert.deepEqual(addressFaults(taken, []), [], 'one that is off gets another address');
  assert.deepEqual(addressFaults(machineOn(here, web), [uuid(1)]), [], 'its own address');
  assert.deepEqual(addressFaults({}, [uuid(1)]), [], 'etcd does not have it yet');
});

etcdDoctor('two machines with one address in etcd', () => {
  const both = {
    ...machineOn(here, web),
    ...machineOn(there, theirs),
    [keyOf.claim(keyOfIp(web.ip as Ipv4))]: uuid(1),
  };
  assert.deepEqual(addressFaults(both, []), [
    {
      kind: 'address-twice',
      ip: web.ip,
      holders: [
        { machine: 'web', host: here },
        { machine: 'db', host: there },
      ],
    },
  ]);
});

etcdDoctor('blocks of this host that etcd has as those of another, and blocks of another subnet', () => {
  const block = (first: string, host: Ipv4) => ({ [keyOf.block(ip(first))]: blockValue(host) });
  const own: [string, string][] = [['192.168.100.16', '192.168.100.23']];
  assert.deepEqual(
    addressFaults({ ...block('192.168.100.16', here), ...block('192.168.100.24', there) }, [], own),
    [],
  );
  assert.deepEqual(addressFaults(block('192.168.100.20', there), [], own), [
    {
      kind: 'block-twice',
      block: { first: ip('192.168.100.20'), last: ip('192.168.100.23') },
      host: there,
    },
  ]);
  assert.deepEqual(addressFaults(block('192.168.100.30', there), [], own), [
    { kind: 'block-astray', first: ip('192.168.100.30'), host: there },
  ]);
});

etcdDoctor.run();
