// Keeps the process alive while tests wait for timers that do not.
import type { Test } from 'uvu';

export function keepAlive(tests: Test): void {
  let timer: NodeJS.Timeout | undefined;
  tests.before(() => {
    timer = setInterval(() => {}, 1000);
  });
  tests.after(() => clearInterval(timer));
}
