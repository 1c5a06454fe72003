// serial.test.ts: tests that work on request runs once for many requests, and rests as long as it is told to.
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { suite } from 'uvu';
import { Coalesced } from '../../src/watcher/process/serial.ts';

const coalesced = suite('coalesced work');

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

coalesced.run();
