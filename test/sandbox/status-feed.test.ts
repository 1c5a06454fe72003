// The stream of the status that views follow, with real machines and a watcher that ends.
import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import { execa } from 'execa';
import { suite } from 'uvu';
import type { NetworkStatus } from '../../src/report/status.ts';
import { type FollowedStatus, followStatus } from '../../src/watcher/socket/client.ts';
import { formulaAddressOf, formulaMacOf } from './formula-values.ts';
import {
  configure,
  define,
  destroyMachine,
  domainXml,
  installVirlan,
  leaseOf,
  startLibvirtd,
  startMachine,
} from './host.ts';
import { logLinesOf } from './log.ts';
import { until } from './until.ts';
import { startWatcher, stopWatcher } from './watcher.ts';

const feed = suite('status feed');

/** A check in the doctor's output. */
interface Check {
  readonly about: string;
}

/** Follows the status; resolves each wait with the first line that comes then and meets the condition. */
function follow() {
  const seen: FollowedStatus[] = [];
  let ended = false;
  const done = (async () => {
    for await (const status of followStatus(new AbortController().signal)) seen.push(status);
    ended = true;
  })();
  const networks = (followed: FollowedStatus | undefined): readonly NetworkStatus[] =>
    followed?.kind === 'read' ? followed.status.networks : [];
  return {
    seen,
    done,
    hasEnded: () => ended,
    /** Waits until the newest status meets the condition. */
    shows: (condition: (network: NetworkStatus) => boolean, seconds = 20) =>
      until(() => networks(seen.at(-1)).some(condition), seconds),
  };
}

function machineIs(name: string, state: string, hasLease: boolean) {
  return ({ machines }: NetworkStatus) =>
    machines.some(
      machine => machine.name === name && machine.state === state && (machine.lease !== null) === hasLease,
    );
}

feed.before(async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\n');
  await startLibvirtd();
  await startWatcher();
});

feed('definition, start, lease, stop, a probe and a change of rules are followed', async () => {
  const view = follow();
  await view.shows(({ up }) => up);
  await define(domainXml({ name: 'web', nics: [{ type: 'bridge', source: 'k8s-br0' }] }));
  await view.shows(machineIs('web', 'shut off', false));
  await startMachine('web');
  await view.shows(({ machines }) => machines.some(({ state }) => state === 'running'));
  const { ip } = await leaseOf(formulaMacOf('web'));
  assert.equal(ip, formulaAddressOf('web'));
  await view.shows(machineIs('web', 'running', true));
  await view.shows(({ probe }) => probe !== null, 30);
  const repaired = logLinesOf('network-repaired').length;
  await execa('nft', ['delete', 'table', 'ip', 'virlan-k8s-br0']);
  await until(() => logLinesOf('network-repaired').length > repaired);
  await destroyMachine('web');
  await view.shows(({ machines }) => machines.some(({ state }) => state === 'shut off'));
  // The status that `virlan status --json` prints has the same form.
  await until(async () => {
    const { stdout } = await execa('virlan', ['status', '--json']);
    return isDeepStrictEqual(view.seen.at(-1), { kind: 'read', status: JSON.parse(stdout) });
  }, 20);
});

feed('the doctor prints checks as they are made, and the result last', async () => {
  const { stdout } = await execa('virlan', ['doctor', '--json', '--follow', '--', 'web'], { reject: false });
  const lines = stdout.split('\n').map(line => JSON.parse(line));
  const result = lines.pop();
  const subjects = lines.map(({ checks }) => [...new Set(checks.map((check: Check) => check.about))].join());
  assert.deepEqual(subjects.sort(), ['host', 'machine web', 'network k8s-br0']);
  const texts = (checks: readonly Check[]) => checks.map(check => JSON.stringify(check)).sort();
  assert.deepEqual(texts(lines.flatMap(({ checks }) => checks)), texts(result.checks));
  assert.equal(typeof result.well, 'boolean');
  const wrong = await execa('virlan', ['doctor', '--follow'], { reject: false });
  assert.equal(wrong.exitCode, 2);
});

feed(
  'the stream ends with the watcher, also when that is killed, and is there with the next one',
  async () => {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const view = follow();
      await view.shows(({ up }) => up);
      await stopWatcher(signal);
      await view.done;
      assert(view.hasEnded());
      await startWatcher();
    }
    const view = follow();
    await view.shows(({ up }) => up);
    await stopWatcher();
    await view.done;
  },
);

feed('without a watcher nothing is followed', async () => {
  const view = follow();
  await view.done;
  assert.deepEqual(view.seen, []);
});

feed.run();
