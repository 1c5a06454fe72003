// Prometheus scrapes the watcher; promtool checks metrics and alerts; the queries of the dashboard have results.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { execa } from 'execa';
import { suite } from 'uvu';
import { configure, define, domainXml, leaseOf, macsOf, startMachine, virlan } from '../sandbox/host.ts';
import { until } from '../sandbox/until.ts';
import { checkout } from '../sandbox/virlan.ts';
import { get, startWatcher, stopWatcher } from '../sandbox/watcher.ts';
import { startHost } from './client-host.ts';

const prometheus = suite('prometheus');

const config = '/tmp/prometheus/prometheus.yml';
const networks = '[network.k8s-br0]\nstp = no\n[network.lab]\nsubnet = 10.9.0.0/24\n';
const metricsAt = (place: string) => `${networks}[watcher]\nmetrics = ${place}\n`;

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Sends a request by TCP. Returns null where nobody listens. */
function http(port: number, path: string, method = 'GET', host = '127.0.0.1'): Promise<Answer | null> {
  return new Promise(resolve => {
    const message = request({ host, port, path, method, timeout: 10_000 }, async response => {
      const body = Buffer.concat(await response.toArray()).toString();
      void resolve({ status: response.statusCode ?? 0, body });
    });
    message.on('error', () => resolve(null));
    message.on('timeout', () => message.destroy());
    message.end();
  });
}

interface Sample {
  readonly metric: Record<string, string>;
  readonly value: readonly [number, string];
}

/** Asks Prometheus. Throws with its message for a query that it refuses. */
async function query(expression: string): Promise<Sample[]> {
  const answer = await http(9090, `/api/v1/query?query=${encodeURIComponent(expression)}`);
  const { status, error, data } = JSON.parse(answer?.body ?? '{}');
  assert.equal(status, 'success', `${expression}: ${error}`);
  return data.result;
}

/** Resolves when a query has this value, which takes a scrape or two. */
async function becomes(expression: string, expected: string): Promise<void> {
  let found: string | undefined;
  await until(async () => {
    found = (await query(expression))[0]?.value[1];
    return found === expected;
  }, 60).catch(() => assert.equal(found, expected, expression));
}

prometheus.before(() => startHost(metricsAt('127.0.0.1:9177')));

prometheus('/metrics and nothing else is served, and promtool has nothing to say about it', async () => {
  await until(async () => (await http(9177, '/metrics')) !== null);
  for (const path of ['/', '/status', '/metrics/', '/hook/daemon/start'])
    assert.equal((await http(9177, path))?.status, 404, path);
  assert.equal((await http(9177, '/metrics', 'POST'))?.status, 405);
  assert.deepEqual(await http(9177, '/metrics', 'HEAD'), { status: 200, body: '' });
  assert.equal(await http(9177, '/metrics', 'GET', '127.0.0.2'), null, 'only at the address of virlan.ini');
  const { status, body } = (await http(9177, '/metrics?x=y')) ?? { status: 0, body: '' };
  assert.equal(status, 200);
  const checked = await execa('promtool', ['check', 'metrics'], { input: body, reject: false, all: true });
  assert.deepEqual([checked.exitCode, checked.all], [0, '']);
});

prometheus('promtool accepts the alerts, and their tests pass', async () => {
  const cwd = `${checkout}/contrib/prometheus`;
  await execa('promtool', ['check', 'rules', 'virlan.rules.yml'], { cwd });
  await execa('promtool', ['test', 'rules', 'virlan.test.yml'], { cwd });
});

prometheus('Prometheus scrapes the networks, and follows a machine and a fault', async () => {
  mkdirSync('/tmp/prometheus', { recursive: true });
  writeFileSync(
    config,
    [
      'global: {scrape_interval: 2s, evaluation_interval: 1s}',
      `rule_files: [${checkout}/contrib/prometheus/virlan.rules.yml]`,
      'scrape_configs:',
      '  - job_name: virlan',
      "    static_configs: [{targets: ['127.0.0.1:9177']}]",
      '',
    ].join('\n'),
  );
  await execa('promtool', ['check', 'config', config]);
  const log = '/tmp/prometheus/log';
  const args = [`--config.file=${config}`, '--storage.tsdb.path=/tmp/prometheus/data'];
  const server = execa('prometheus', [...args, '--web.listen-address=127.0.0.1:9090'], {
    stdout: { file: log },
    stderr: { file: log },
  });
  void server.catch(() => {});
  await until(async () => (await http(9090, '/-/ready'))?.status === 200, 60);
  await becomes('up{job="virlan"}', '1');
  await becomes('count(virlan_network_up == 1)', '2');
  await becomes('virlan_running_machines{network="k8s-br0"}', '0');

  await define(domainXml({ name: 'web', nics: [{ type: 'bridge', source: 'k8s-br0' }] }));
  await startMachine('web');
  const [mac = ''] = await macsOf('web');
  await leaseOf(mac, 120);
  await becomes('virlan_running_machines{network="k8s-br0"}', '1');
  await becomes('virlan_leases{network="k8s-br0"}', '1');
  await becomes('virlan_network_transmit_bytes_total{network="k8s-br0"} > bool 500', '1');
  await becomes('virlan_hook_seconds_count{hook="qemu prepare"}', '1');

  await virlan('down', 'lab');
  await becomes('virlan_network_up{network="lab"}', '0');
  await virlan('up', 'lab');
  await becomes('virlan_network_up{network="lab"}', '1');
});

/** Kernels without dummy devices are a problem of the host that runs this test, not of the network. */
const isFault = ({ metric }: Sample) => metric.code !== 'no-dummy';

prometheus('each query of the dashboard has a result', async () => {
  const { panels } = JSON.parse(readFileSync(`${checkout}/contrib/grafana/virlan.json`, 'utf8'));
  // The row about a cluster has results on hosts of one only: test/cluster/dashboard.ts.
  const expressions: string[] = panels
    .filter(({ type }: { type: string }) => type !== 'row')
    .flatMap(({ targets }: { targets: { expr: string }[] }) => targets.map(({ expr }) => expr));
  assert(expressions.length > 15);
  await becomes('count_over_time(up{job="virlan"}[30s]) > bool 3', '1');
  for (const expression of expressions) {
    const filled = expression.replaceAll(/\$(instance|network)/g, '.*').replaceAll('$__rate_interval', '30s');
    let found: Sample[] = [];
    await until(async () => {
      found = await query(filled);
      return filled.startsWith('virlan_network_problems') ? !found.some(isFault) : found.length > 0;
    }, 30).catch(() => assert.fail(`${filled}: ${JSON.stringify(found)}`));
    for (const { metric } of found)
      assert.doesNotMatch(JSON.stringify(metric), /web/, 'machines have no series');
  }
});

prometheus(
  'a changed endpoint is served when virlan.ini is saved; a port that is taken is a problem',
  async () => {
    const taken = createServer().listen(9178, '127.0.0.1');
    await configure(metricsAt('127.0.0.1:9178'));
    await until(
      async () => (await get('/status'))?.includes('metrics are not served at 127.0.0.1:9178') === true,
    );
    assert.equal(await http(9177, '/metrics'), null, 'the old endpoint is closed');
    await new Promise(resolve => taken.close(resolve));
    await configure(metricsAt('[::1]:9179'));
    await until(async () => (await http(9179, '/metrics', 'GET', '::1'))?.status === 200);
    assert.doesNotMatch((await get('/status')) ?? '', /metrics are not served/);
    await configure(networks);
    await until(async () => (await http(9179, '/metrics', 'GET', '::1')) === null);
  },
);

prometheus('the file for node_exporter is whole at any time, and says when the watcher is away', async () => {
  const file = '/var/lib/prometheus/node-exporter/virlan.prom';
  const write = async () => {
    const { exitCode, stdout, stderr } = await virlan('metrics', '--output', file);
    assert.deepEqual([exitCode, stdout, stderr], [0, '', '']);
    const text = readFileSync(file, 'utf8');
    const checked = await execa('promtool', ['check', 'metrics'], { input: text, reject: false, all: true });
    assert.deepEqual([checked.exitCode, checked.all], [0, '']);
    return text;
  };
  assert.match(await write(), /^virlan_watcher_running 1$/m);
  await stopWatcher();
  const away = await write();
  assert.match(away, /^virlan_watcher_running 0$/m);
  assert.match(away, /^virlan_network_up\{network="k8s-br0"\} 1$/m);
  await startWatcher();
  assert.match(await write(), /^virlan_watcher_running 1$/m);
  assert.deepEqual(readdirSync('/var/lib/prometheus/node-exporter'), ['virlan.prom']);
});

prometheus.run();
