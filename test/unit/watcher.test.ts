// watcher.test.ts: tests which configuration changes are refused, and what the watcher adds to the status.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import type { NetworkConfig } from '../../src/config/config.ts';
import { InvalidConfig } from '../../src/config/invalid-config.ts';
import type { Status } from '../../src/report/status.ts';
import { Configuration } from '../../src/watcher/configuration.ts';
import { refusedChangeText } from '../../src/watcher/configuration-text.ts';
import { findRefusedChanges } from '../../src/watcher/refused-changes.ts';
import { textAnswer } from '../../src/watcher/socket/answers.ts';
import { formatReconcile, parseReconcile } from '../../src/watcher/socket/reconcile-answer.ts';
import { mergeStatus } from '../../src/watcher/status.ts';
import { config } from './builders.ts';
import { networkStatus, statusOf, withoutProblems } from './status-builders.ts';

const watcher = suite('watcher');

const twoNetworks = '[network.a]\nsubnet = 10.0.0.0/24\n[network.b]\nsubnet = 10.0.1.0/24';

function machinesOnA(...machines: readonly string[]) {
  return ({ name }: NetworkConfig) => (name === 'a' ? machines : []);
}

watcher('a configuration that would disconnect running machines is refused', () => {
  const cases: [next: string, machines: string[], text: string | null][] = [
    [twoNetworks, ['web'], null],
    ['[network.b]\nsubnet = 10.0.1.0/24', [], null],
    [
      '[network.b]\nsubnet = 10.0.1.0/24',
      ['web', 'd"b'],
      'network a cannot be removed while machines run on it: "web", "d\\"b": shut them down first',
    ],
    [
      twoNetworks.replace('10.0.0.0/24', '10.0.9.0/24'),
      ['web'],
      'the subnet of a cannot become 10.0.9.0/24 while machines run on it: "web": shut them down first',
    ],
    [
      twoNetworks.replace('[network.a]', '[network.a]\nbridge = br7'),
      ['web'],
      'the bridge of a cannot become br7 while machines run on it: "web": shut them down first',
    ],
    [twoNetworks.replace('10.0.1.0/24', '10.0.9.0/24'), ['web'], null],
    [twoNetworks.replace('[network.a]', '[network.a]\nmtu = 9000'), ['web'], null],
  ];
  for (const [next, machines, text] of cases) {
    const [refused] = findRefusedChanges(config(twoNetworks), config(next), machinesOnA(...machines));
    assert.equal(refused === undefined ? null : refusedChangeText(refused), text, next);
  }
});

const own = { code: 'unreadable', text: 'own', fix: null } as const;

const collected: Status = {
  ...statusOf({ ...networkStatus('a'), problems: [own.text], faults: [own] }, networkStatus('b')),
  watcher: { running: false, pid: null, libvirt: 'unknown' },
};

watcher('a watcher without problems only adds itself to the status', () => {
  assert.deepEqual(mergeStatus(collected, withoutProblems), {
    ...collected,
    watcher: { running: true, pid: 812, libvirt: 'connected' },
  });
});

watcher('problems of the host are listed first at the first network, and probes at their own', () => {
  const failed = {
    at: '2026-11-22T10:00:00Z',
    passed: false,
    check: 'probe-lease',
    seen: 'no lease',
  } as const;
  const passed = { at: '2026-11-22T10:00:00Z', passed: true, check: null, seen: null };
  const since = Date.parse('2026-11-22T10:00:00Z');
  const { networks } = mergeStatus(collected, {
    ...withoutProblems,
    configurationProblem: new InvalidConfig('virlan.ini', [
      { line: 1, what: '', message: 'one' },
      { line: 2, what: '', message: 'two' },
    ]),
    usedUpInotify: 'fs.inotify.max_user_watches',
    metricsProblem: { endpoint: { address: '::1', port: 9177 }, error: new Error('EADDRINUSE') },
    libvirtProblems: [
      { kind: 'start-failed', name: 'a', error: 'address in use' },
      { kind: 'network-in-use', name: 'old', to: null, users: ['web'], ports: 0 },
    ],
    fights: [{ unit: { kind: 'dnsmasq', bridge: 'a' }, since, until: since + 15_000 }],
    lastProbe: name => (name === 'b' ? failed : passed),
  });
  assert.deepEqual(networks[0]?.problems, [
    'virlan.ini:1: one',
    'virlan.ini:2: two',
    "inotify is used up: changes of virlan.ini and of dnsmasq's files are noticed after some seconds; raise fs.inotify.max_user_watches",
    'metrics are not served at [::1]:9177: EADDRINUSE; it is tried again: see metrics in virlan.ini',
    "libvirt's network a is defined again, but does not start: address in use",
    'libvirt\'s network old is not in virlan.ini and stays while machines run on it: "web": shut the machines down, then "virlan up"',
    'dnsmasq of a had to be repaired again and again since 2026-11-22T10:00:00Z: left alone until 2026-11-22T10:00:15Z; find out what changes it',
    'own',
  ]);
  assert.deepEqual(networks[1]?.problems, ['probe at 2026-11-22T10:00:00Z: no lease; see "virlan doctor"']);
  assert.deepEqual(
    networks.map(({ faults }) => faults.map(({ code, fix }) => [code, fix?.command ?? null])),
    [
      [
        ['configuration', null],
        ['configuration', null],
        ['files-polled', null],
        ['metrics-not-served', null],
        ['libvirt-network', null],
        ['network-in-use', null],
        ['fight', 'virlan doctor'],
        ['unreadable', null],
      ],
      [['probe', 'virlan doctor']],
    ],
  );
  assert.deepEqual([networks[0]?.probe, networks[1]?.probe], [passed, failed]);
});

watcher('a repair that failed is a problem of its network, with the reason', () => {
  const error = new Error('/run/virlan/b.applied.json cannot be written: ENOSPC');
  const { networks } = mergeStatus(collected, { ...withoutProblems, failures: [{ network: 'b', error }] });
  assert.deepEqual(
    networks.map(({ problems }) => problems),
    [['own'], [`a repair failed, and is tried again every few seconds: ${error.message}`]],
  );
});

watcher('a configuration is outdated when the file says something else, or cannot be read', () => {
  const directory = mkdtempSync(join(tmpdir(), 'virlan-'));
  try {
    const path = join(directory, 'virlan.ini');
    writeFileSync(path, twoNetworks);
    const configuration = new Configuration(path);
    assert.equal(configuration.isOutdated(), false);
    writeFileSync(path, `; a comment\n${twoNetworks}`);
    assert.equal(configuration.isOutdated(), false);
    for (const text of [twoNetworks.replace('10.0.1', '10.0.2'), '[network.a]\nsubnet = x\n']) {
      writeFileSync(path, text);
      assert.equal(configuration.isOutdated(), true);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});

watcher('the answer to a request to reconcile is a code, also that of another version', () => {
  for (const code of ['done', 'not-connected'] as const)
    assert.equal(parseReconcile(textAnswer(200, formatReconcile(code))), code);
  assert.equal(parseReconcile(null), 'no-answer');
  for (const [status, body] of [
    [200, 'libvirt is not connected\n'],
    [200, 'done later\n'],
    [500, 'done\n'],
    [404, 'not found\n'],
  ] as const)
    assert.equal(parseReconcile(textAnswer(status, body)), 'unknown', `${status} ${body}`);
});

watcher.run();
