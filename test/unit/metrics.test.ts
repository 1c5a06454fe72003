// metrics.test.ts: tests the metrics, and that dashboard, alerts and documents name those that exist.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import { faultCodes } from '../../src/report/fault-codes.ts';
import type { NetworkStatus, Status } from '../../src/report/status.ts';
import { Metrics } from '../../src/watcher/metrics.ts';
import { readTraffic, trafficCounterNames } from '../../src/watcher/traffic.ts';
import { config, entry } from './builders.ts';
import { assertGolden } from './golden.ts';
import { machineStatus, networkStatus, statusOf } from './status-builders.ts';

const metrics = suite('metrics');

/** Two networks, whose bridges no host has. */
const { networks } = config(
  '[network.lab]\nbridge = no-such-br0\n[network.lan]\nbridge = no-such-br1\nsubnet = 10.0.0.0/24\n',
);

const running = machineStatus(7, 'web "1"\n', {
  tap: 'vnet0',
  forwards: [
    { forward: 'tcp/8443:443', source: 'metadata', active: true, problem: null },
    { forward: 'tcp/8444:443', source: 'metadata', active: false, problem: null },
  ],
});

const lab: NetworkStatus = {
  ...networkStatus('lab', running, { ...running, nic: 1, state: 'shut off', ip: null, forwards: [] }),
  bridge: 'no-such-br0',
};

/** Returns the samples, `virlan_machines{network="lab"} 2`, as a record. */
async function samples(of: Metrics, status: Status): Promise<Record<string, string>> {
  const lines = (await of.render(networks, status)).split('\n').filter(line => /^\w/.test(line));
  return Object.fromEntries(lines.map(line => line.split(/ (?=\S+$)/)));
}

/** Returns the names of all metrics; true for a histogram. */
async function kinds(): Promise<Map<string, boolean>> {
  const text = await new Metrics().render(networks, statusOf(lab));
  const types = text.matchAll(/^# TYPE (\S+) (\S+)$/gm);
  return new Map([...types].map(([, name = '', type]) => [name, type === 'histogram']));
}

metrics('all series exist before anything has happened', async () => {
  const text = await new Metrics().render(networks, statusOf(lab, { ...lab, name: 'lan', up: false }));
  assertGolden('metrics.txt', text);
  for (const code of faultCodes)
    assert(text.includes(`virlan_network_problems{network="lan",code="${code}"} 0\n`), code);
});

metrics('values follow the status, and events are counted', async () => {
  const own = new Metrics();
  await own.render(networks, statusOf(lab));
  own.count({ kind: 'network-repaired', network: 'lab', done: [], units: [] });
  own.count({ kind: 'reservation', event: { kind: 'reserved', entry: entry() } });
  const fault = { code: 'drift', text: '', fix: null } as const;
  const probe = { at: '2026-11-22T10:00:00Z', passed: false, check: 'probe-dns', seen: 'x' } as const;
  const since = '2026-11-22T10:00:00Z';
  const peer = { address: '10.9.0.2', listed: true, macs: 3, answer: 'answers', since } as const;
  const peers = [
    peer,
    { ...peer, address: '10.9.0.3', listed: false, answer: 'too-large' as const },
    { ...peer, address: '10.9.0.4', answer: null, since: null },
  ];
  const neighbour = { address: '10.9.0.2', session: 'established', since, routes: 4 } as const;
  const ended = { ...neighbour, address: '10.9.0.3', session: 'idle' as const };
  const bgp = { as: 65_000, neighbours: [neighbour, ended] };
  const tunnel = { vni: 1, link: 'vx', mtu: 1450, address: '10.9.0.1', peers, bgp };
  const changed = { ...lab, tunnel, up: false, faults: [fault, { ...fault, code: 'fight' as const }], probe };
  const found = await samples(own, statusOf(changed));
  const expected = {
    'virlan_build_info{version="1"}': '1',
    'virlan_network_up{network="lab"}': '0',
    'virlan_network_drift{network="lab"}': '1',
    'virlan_network_problems{network="lab",code="drift"}': '1',
    'virlan_network_problems{network="lab",code="fight"}': '1',
    'virlan_network_problems{network="lab",code="conflict"}': '0',
    'virlan_machines{network="lab"}': '2',
    'virlan_running_machines{network="lab"}': '1',
    'virlan_free_addresses{network="lab"}': '252',
    'virlan_forwards{network="lab",state="active"}': '1',
    'virlan_forwards{network="lab",state="inactive"}': '1',
    'virlan_probe_success{network="lab"}': '0',
    'virlan_probe_timestamp_seconds{network="lab"}': '1795341600',
    'virlan_peer_up{network="lab",peer="10.9.0.2"}': '1',
    'virlan_peer_up{network="lab",peer="10.9.0.3"}': '0',
    'virlan_peer_up{network="lab",peer="10.9.0.4"}': 'Nan',
    'virlan_bgp_session_up{network="lab",peer="10.9.0.2"}': '1',
    'virlan_bgp_session_up{network="lab",peer="10.9.0.3"}': '0',
    'virlan_bgp_routes{network="lab",peer="10.9.0.2"}': '4',
    'virlan_peer_listed{network="lab",peer="10.9.0.2"}': '1',
    'virlan_peer_listed{network="lab",peer="10.9.0.3"}': '0',
    'virlan_peer_macs{network="lab",peer="10.9.0.2"}': '3',
    'virlan_peer_change_timestamp_seconds{network="lab",peer="10.9.0.2"}': '1795341600',
    'virlan_peer_change_timestamp_seconds{network="lab",peer="10.9.0.4"}': '0',
    'virlan_repairs_total{network="lab"}': '1',
    virlan_reservations_total: '1',
    virlan_libvirt_connected: '1',
  };
  for (const [sample, value] of Object.entries(expected)) assert.equal(found[sample], value, sample);
  assert(!('virlan_network_up{network="lan"}' in found), 'a network that is gone has no series');
  const away = { ...statusOf(lab), watcher: { running: false, pid: null, libvirt: 'unknown' } };
  const later = await samples(own, away);
  assert.deepEqual([later.virlan_watcher_running, later.virlan_libvirt_connected], ['0', '0']);
});

metrics('traffic is what the kernel counts for the bridge', () => {
  const files = new Map(trafficCounterNames.map((name, index) => [name, `${index + 1}${'0'.repeat(12)}\n`]));
  const readFile = (path: string) => /^\/sys\/class\/net\/br0\/statistics\/(\w+)$/.exec(path)?.[1] ?? null;
  const read = (bridge: string) =>
    trafficCounterNames.map(name =>
      readTraffic(
        { readFile: path => files.get((readFile(path) ?? '') as 'rx_bytes') ?? null },
        bridge,
        name,
      ),
    );
  assert.deepEqual(read('br0'), [1e12, 2e12, 3e12, 4e12, 5e12, 6e12, 7e12, 8e12]);
  assert.deepEqual(read('br1'), [0, 0, 0, 0, 0, 0, 0, 0]);
});

metrics('dashboard, alerts and docs/monitoring.md name metrics that exist', async () => {
  const existing = await kinds();
  const exists = (name: string) =>
    existing.has(name) || existing.get(name.replace(/_(bucket|sum|count)$/, '')) === true;
  for (const path of [
    'contrib/grafana/virlan.json',
    'contrib/prometheus/virlan.rules.yml',
    'contrib/prometheus/virlan.test.yml',
    'docs/monitoring.md',
  ]) {
    const named = new Set(readFileSync(path, 'utf8').match(/\bvirlan_[a-z0-9_]*[a-z0-9]/g));
    assert(named.size > 0, path);
    for (const name of named) assert(exists(name), `${path}: ${name}`);
  }
  const page = readFileSync('docs/monitoring.md', 'utf8');
  for (const name of existing.keys()) assert(page.includes(`\`${name}\``), name);
});

metrics.run();
