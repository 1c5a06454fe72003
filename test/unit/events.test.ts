// events.test.ts: tests the events of a network, their log lines, and its problems.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import type { Established } from '../../src/network/established.ts';
import type { Step } from '../../src/network/steps/steps.ts';
import type { Event } from '../../src/report/event.ts';
import { logLine } from '../../src/report/log-line.ts';
import { changeEvents } from '../../src/report/network-events.ts';
import { findProblems, type ProblemSources } from '../../src/report/network-problems.ts';
import { networkProblemText } from '../../src/report/status-text.ts';
import { entry, ip, mac, network } from './builders.ts';
import { assertGolden } from './golden.ts';

const events = suite('events');

const lan = network();
const start: Step = { kind: 'start dnsmasq', bridge: 'k8s-br0' };
const forwarding: Step = { kind: 'set sysctl', key: 'net.ipv4.ip_forward', from: '0', to: '1' };
const inUse = new Error('dnsmasq: port 67 is in use');
const nothing: Established = { done: [], failed: [], skipped: [], unrecorded: [], warnings: [], refused: [] };

events('without a successful step there is no network-repaired or network-established', () => {
  const failed = changeEvents(lan, 'network-repaired', {
    ...nothing,
    failed: [{ step: start, error: inUse }],
    skipped: [forwarding],
  });
  assert.deepEqual(failed, [
    { kind: 'step-failed', network: 'k8s-br0', failed: { step: start, error: inUse } },
  ]);
  assert.deepEqual(changeEvents(lan, 'network-established', nothing), []);
});

events('a change has its successful steps and their units; failures are events of their own', () => {
  const [changed, failure] = changeEvents(lan, 'network-repaired', {
    ...nothing,
    done: [forwarding],
    failed: [{ step: start, error: inUse }],
  });
  assert.deepEqual(changed, {
    kind: 'network-repaired',
    network: 'k8s-br0',
    done: [forwarding],
    units: [{ kind: 'sysctl', key: 'net.ipv4.ip_forward' }],
  });
  assert.equal(failure?.kind, 'step-failed');
});

const since = Date.parse('2026-11-22T10:00:00Z');
const chain = { family: 'inet', table: 'corp', name: 'fw', hook: 'forward', policy: 'drop' };
const conflict = {
  network: lan,
  other: { subnet: { network: ip('192.168.0.0'), length: 16 }, link: 'tun0', by: 'route' },
  made: null,
} as const;
const error = new Error('reason');
const machine = { name: 'web', uuid: entry().uuid };

const peer = { peer: ip('10.0.0.2'), answer: 'answers', bytes: 1500, mtu: null } as const;

/** Every kind of event: `isComplete` below does not compile when one is missing. */
const all = [
  { kind: 'network-established', network: 'lan', done: [start], units: [] },
  {
    kind: 'network-repaired',
    network: 'lan',
    done: [start],
    units: [{ kind: 'dnsmasq', bridge: 'k8s-br0' }],
  },
  { kind: 'network-taken-down', network: 'lan', done: [start], units: [] },
  { kind: 'step-failed', network: 'lan', failed: { step: start, error: inUse } },
  { kind: 'network-failed', network: 'lan', error },
  { kind: 'network-warning', network: 'lan', warning: { kind: 'conflict', conflict } },
  {
    kind: 'network-warning',
    network: 'lan',
    warning: { kind: 'unknown-chain', bridge: 'k8s-br0', found: { chain, unreadable: null } },
  },
  {
    kind: 'network-warning',
    network: 'lan',
    warning: { kind: 'unknown-chain', bridge: 'k8s-br0', found: { chain, unreadable: error } },
  },
  {
    kind: 'network-warning',
    network: 'lan',
    warning: { kind: 'unread', unread: { subject: 'firewalld', error } },
  },
  { kind: 'network-warning', network: 'lan', warning: { kind: 'dnsmasq-keeps-configuration', error } },
  { kind: 'network-warning', network: 'lan', warning: { kind: 'reservations-unknown', error } },
  {
    kind: 'unit-left-alone',
    network: 'lan',
    fight: {
      unit: { kind: 'rules', backend: 'nftables', family: 'ipv4', bridge: 'k8s-br0' },
      since,
      until: since + 15_000,
    },
  },
  { kind: 'reservation-failed', network: 'lan', machine, error },
  { kind: 'guard-failed', network: 'lan', machine, error },
  { kind: 'dnsmasq-silent', network: 'lan', pid: 812 },
  { kind: 'dnsmasq-missing', network: 'lan', machine },
  {
    kind: 'libvirt-network-changed',
    action: { kind: 'start', name: 'k8s-br0' },
  },
  {
    kind: 'libvirt-network-in-use',
    problem: { kind: 'network-in-use', name: 'lab', to: null, users: ['web'], ports: 0 },
  },
  { kind: 'default-autostart-removed' },
  { kind: 'default-autostart-failed', error },
  { kind: 'socket-restored', path: '/run/virlan/socket' },
  { kind: 'files-polled', path: '/etc/virlan/virlan.ini', limit: 'fs.inotify.max_user_watches' },
  { kind: 'files-followed', path: '/etc/virlan/virlan.ini' },
  { kind: 'watcher-started', networks: ['lan'] },
  { kind: 'watcher-stopped' },
  { kind: 'libvirt-connected', socket: '/run/libvirt/libvirt-sock' },
  { kind: 'libvirt-disconnected', socket: '/run/libvirt/libvirt-sock', error },
  { kind: 'libvirt-notice', notice: { kind: 'unknown-event', procedure: 999 } },
  { kind: 'configuration-applied' },
  { kind: 'configuration-rejected', error },
  { kind: 'monitor-failed', error },
  { kind: 'failed', during: 'hook', error },
  { kind: 'failed', during: 'libvirt-event', error, machine: 'web' },
  { kind: 'failed', during: 'reconcile', error },
  { kind: 'failed', during: 'libvirt-networks', error },
  { kind: 'failed', during: 'file-change', error, path: '/x' },
  { kind: 'reservation', event: { kind: 'reserved', entry: entry() } },
  { kind: 'reservation', event: { kind: 'changed', entry: entry({ ip: null }) } },
  {
    kind: 'reservation',
    event: {
      kind: 'problem',
      entry: entry(),
      problem: {
        kind: 'pool-exhausted',
        held: { reserved: 250, leased: 0, answered: 2, fixed: 0, elsewhere: 0 },
      },
    },
  },
  { kind: 'reservation-retired', network: 'lan', machine },
  { kind: 'macs-assigned', machine, macs: [mac(1)], was: [mac(2)] },
  { kind: 'mac-assigned-too-late', machine },
  { kind: 'mac-refused-by-libvirt', machine, error },
  { kind: 'machine-failed', machine, error },
  { kind: 'probed', network: 'lan', result: { kind: 'passed', outside: null, warnings: [] } },
  {
    kind: 'probed',
    network: 'lan',
    result: {
      kind: 'failed',
      check: 'machine',
      detail: { kind: 'machine-unknown', machine: 'web', nearest: null },
    },
  },
  { kind: 'metrics-not-served', problem: { endpoint: { address: '127.0.0.1', port: 9177 }, error } },
  { kind: 'peer-changed', network: 'lan', report: peer },
  { kind: 'peer-changed', network: 'lan', report: { ...peer, answer: 'silent' } },
  { kind: 'etcd-connected', network: 'lan', endpoint: 'https://10.0.0.1:2379' },
  { kind: 'etcd-lost', network: 'lan', error },
  { kind: 'machine-moved', network: 'lan', machine, host: '10.0.0.2' },
  { kind: 'forwards-changed', network: 'lan', done: [start] },
  {
    kind: 'forward-refused',
    network: 'lan',
    refused: {
      machine,
      problem: { kind: 'invalid', attribute: 'port', value: '0' },
    },
  },
] as const satisfies readonly Event[];

/** Is `never` unless each kind of event is in the list. */
type IsComplete = Event['kind'] extends (typeof all)[number]['kind'] ? true : never;
const isComplete: IsComplete = true;

events('each event has its line in the log', () => {
  assert(isComplete);
  const lines = all.map((event: Event) => {
    const { level, message, fields } = logLine(event);
    return `${event.kind}\n  ${level}: ${message}\n  ${JSON.stringify(fields)}\n`;
  });
  assertGolden('log-lines.txt', lines.join(''));
});

events('docs/json.md names the code of each', () => {
  const page = readFileSync('docs/json.md', 'utf8').split('## The log')[1] ?? '';
  for (const { kind } of all) assert(page.includes(`\`${kind}\``), kind);
});

const up: ProblemSources = {
  desired: {
    dummy: { name: 'k8s-br0-nic', state: null },
    rules: [{ bridge: 'k8s-br0', family: 'ipv4', backend: 'nftables', role: 'primary', script: '' }],
  },
  observed: { link: null },
  steps: [start],
  hostSteps: [forwarding],
  warnings: [
    { kind: 'unread', unread: { subject: 'chains', error } },
    { kind: 'conflict', conflict },
  ],
  lacking: [],
  isKnown: true,
};

events('problems of a network are sorted by severity', () => {
  const texts = (sources: ProblemSources) => findProblems(sources).map(networkProblemText);
  assert.deepEqual(
    findProblems(up).map(({ kind }) => kind),
    ['warning', 'drift', 'warning', 'no-dummy', 'no-checksum'],
  );
  assert.match(
    texts(up)[0] ?? '',
    /^subnet 192\.168\.100\.0\/24 overlaps 192\.168\.0\.0\/16 of a route on tun0/,
  );
  assert.equal(
    texts(up)[1],
    'not as it should be, "virlan up" repairs it: ~ net.ipv4.ip_forward 0 → 1; + dnsmasq DHCP and DNS on k8s-br0',
  );
  assert.deepEqual(
    findProblems({ ...up, isKnown: false }).map(({ kind }) => kind),
    ['warning', 'not-established'],
    'a network that was never established lacks everything',
  );
  const quiet = { ...up, steps: [], hostSteps: [], warnings: [] };
  assert.deepEqual(findProblems(quiet).slice(0, 1), [{ kind: 'no-dummy' }]);
  assert.deepEqual(
    findProblems({ ...quiet, desired: { ...up.desired, rules: [] } }),
    [{ kind: 'no-dummy' }],
    'with mode = open nobody fills in checksums',
  );
});

events.run();
