// failed-repairs.test.ts: tests when repairs that failed are tried again.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { VirlanError } from '../../src/errors.ts';
import type { Unit } from '../../src/network/steps/units.ts';
import { FailedRepairs } from '../../src/watcher/repairs/failed-repairs.ts';

const repairs = suite('failed repairs');

const start = Date.parse('2026-11-22T10:00:00Z');
const secondMs = 1000;
const rules: Unit = { kind: 'rules', backend: 'nftables', family: 'ipv4', bridge: 'br0' };
const dnsmasq: Unit = { kind: 'dnsmasq', bridge: 'br0' };
const full = new VirlanError('write-failed', 'conf cannot be written: ENOSPC');

repairs('a unit that failed is tried again after five seconds, however often it fails', () => {
  const failed = new FailedRepairs();
  for (let time = start; time < start + 600 * secondMs; time += 5 * secondMs) {
    assert.equal(failed.allows('lan', dnsmasq, time), true);
    failed.replace('lan', time, [{ unit: dnsmasq, error: full }], time);
    assert.equal(failed.allows('lan', dnsmasq, time + 4 * secondMs), false);
    assert.equal(failed.nextTry(), time + 5 * secondMs);
  }
});

repairs('other units and other networks are not held up', () => {
  const failed = new FailedRepairs();
  failed.replace('lan', start, [{ unit: dnsmasq, error: full }], start);
  assert.equal(failed.allows('lan', rules, start), true);
  assert.equal(failed.allows('lab', dnsmasq, start), true);
});

repairs('a failure is shown until it was tried again without it', () => {
  const failed = new FailedRepairs();
  failed.replace('lan', start, [{ unit: dnsmasq, error: full }], start);
  failed.replace('lan', start + secondMs, [], start + secondMs);
  assert.deepEqual(
    failed.shown().map(({ network, error }) => [network, error]),
    [['lan', full]],
    'a scan before the retry, which left the unit alone',
  );
  failed.replace('lan', start + 5 * secondMs, [], start + 6 * secondMs);
  assert.deepEqual(failed.shown(), []);
  assert.equal(failed.nextTry(), null);
});

repairs('a failure of the whole network is tried again with each scan', () => {
  const failed = new FailedRepairs();
  failed.replace('lan', start, [{ unit: null, error: full }], start);
  assert.equal(failed.allows('lan', null, start), false);
  failed.replace('lan', start + secondMs, [], start + secondMs);
  assert.deepEqual(failed.shown(), []);
});

repairs('a network that is refused is tried less often, and has a problem of its own in the status', () => {
  const failed = new FailedRepairs();
  const refused = new VirlanError('refused', 'overlaps');
  failed.replace('lan', start, [{ unit: null, error: refused }], start);
  assert.deepEqual(failed.shown(), []);
  assert.equal(failed.nextTry(), start + 60 * secondMs);
});

repairs('a network that is no longer configured is forgotten', () => {
  const failed = new FailedRepairs();
  failed.replace('lan', start, [{ unit: dnsmasq, error: full }], start);
  failed.retain(['lab']);
  assert.equal(failed.nextTry(), null);
});

repairs.run();
