// notify.test.ts: tests the interval of watchdog messages to systemd.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { watchdogIntervalMs } from '../../src/watcher/process/notify.ts';

const notify = suite('notify');

notify('the watchdog interval is half of WATCHDOG_USEC; null if it is unset or for another process', () => {
  const pid = String(process.pid);
  const cases: [environment: NodeJS.ProcessEnv, intervalMs: number | null][] = [
    [{}, null],
    [{ WATCHDOG_USEC: '60000000' }, 30_000],
    [{ WATCHDOG_USEC: '60000000', WATCHDOG_PID: pid }, 30_000],
    [{ WATCHDOG_USEC: '60000000', WATCHDOG_PID: '1' }, null],
    [{ WATCHDOG_USEC: '0', WATCHDOG_PID: pid }, null],
    [{ WATCHDOG_USEC: 'soon' }, null],
  ];
  for (const [environment, intervalMs] of cases)
    assert.equal(watchdogIntervalMs(environment), intervalMs, JSON.stringify(environment));
});

notify.run();
