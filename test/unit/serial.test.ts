// serial.test.ts: tests that work on request runs once for many requests, and rests as long as it is told to.
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { suite } from 'uvu';
import { Coalesced, Serial } from '../../src/watcher/process/serial.ts';
import { keepAlive } from './keep-alive.ts';

const coalesced = suite('coalesced work');
keepAlive(coalesced);

coalesced(
  'requests while it runs cause one more run, after a rest that depends on how long it took',
  async () => {
    const workMs = 30;
    const restMs = 100;
    const starts: number[] = [];
    const took: number[] = [];
    const work = new Coalesced(
      async () => {
        starts.push(performance.now());
        if (starts.length === 1) for (let request = 0; request < 3; request++) void work.request();
        await pause(workMs);
      },
      tookMs => {
        took.push(tookMs);
        return restMs;
      },
    );
    await work.request();
    assert.equal(starts.length, 2);
    const [first = 0, second = 0] = starts;
    // A timer may fire a millisecond early.
    assert(second - first >= workMs + restMs - 2);
    assert(took.every(each => each >= workMs - 1));
  },
);

coalesced('a request right after the end waits for the rest of the pause, too', async () => {
  const restMs = 100;
  const starts: number[] = [];
  const work = new Coalesced(
    async () => void starts.push(performance.now()),
    () => restMs,
  );
  await work.request();
  const requests = [work.request(), work.request()];
  await Promise.all(requests);
  assert.equal(starts.length, 2);
  const [first = 0, second = 0] = starts;
  assert(second - first >= restMs - 2);
});

coalesced('its pause keeps no process alive, as when the watcher ends', async () => {
  const timers = () => process.getActiveResourcesInfo().filter(resource => resource === 'Timeout').length;
  const before = timers();
  let runs = 0;
  const work = new Coalesced(
    async () => void runs++,
    () => 5000,
  );
  await work.request();
  void work.request();
  await new Promise(resolve => setImmediate(resolve));
  assert.deepEqual([runs, timers()], [1, before]);
});

coalesced('the wait for its turn in a queue makes no pause longer', async () => {
  const queue = new Serial();
  const waitMs = 100;
  const took: number[] = [];
  const work = new Coalesced(
    async () => {},
    tookMs => {
      took.push(tookMs);
      return 0;
    },
    queue,
  );
  void queue.run(() => pause(waitMs));
  await work.request();
  assert.equal(took.length, 1);
  assert(took.every(each => each < waitMs / 2));
});

coalesced.run();
