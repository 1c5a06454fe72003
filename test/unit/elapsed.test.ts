// elapsed.test.ts: tests the clock of pauses.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { steadyNow } from '../../src/watcher/process/elapsed.ts';

const elapsed = suite('elapsed time');

elapsed(
  'pauses do not last longer because the clock is set back, nor shorter because it is set forward',
  () => {
    const clock = Date.now;
    const before = steadyNow();
    assert(Math.abs(before - clock()) < 60_000);
    try {
      for (const hours of [-2, 2]) {
        Date.now = () => clock() + hours * 3_600_000;
        const passedMs = steadyNow() - before;
        assert(passedMs >= 0 && passedMs < 60_000, `${passedMs}`);
      }
    } finally {
      Date.now = clock;
    }
  },
);

elapsed.run();
