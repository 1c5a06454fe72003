import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { watchdogIntervalMs } from '../../src/watcher/notify.ts';

const notify = suite('notify');

notify(
  'a sign of life comes twice in the time that systemd gives, where it wants one of this process',
  () => {
    const pid = String(process.pid);
    const cases: [environment: NodeJS.ProcessEnv, milliseconds: number | null][] = [
      [{}, null],
      [{ WATCHDOG_USEC: '60000000' }, 30_000],
      [{ WATCHDOG_USEC: '60000000', WATCHDOG_PID: pid }, 30_000],
      [{ WATCHDOG_USEC: '60000000', WATCHDOG_PID: '1' }, null],
      [{ WATCHDOG_USEC: '0', WATCHDOG_PID: pid }, null],
      [{ WATCHDOG_USEC: 'soon' }, null],
    ];
    for (const [environment, milliseconds] of cases)
      assert.equal(watchdogIntervalMs(environment), milliseconds, JSON.stringify(environment));
  },
);

notify.run();
