// Waiting for a condition by polling.
import { availableParallelism, loadavg } from 'node:os';

/** A virtual machine that runs the tests may stand still for some seconds, which its load does not show. */
const stallSeconds = 4;

/**
 * A condition that starts programs takes the processors from what it waits for: the pause after it is twice as long as
 * it took, up to this.
 */
const longestPauseMs = 250;

/**
 * Resolves when the condition holds; throws if it does not hold within the time limit. Effects of the watcher
 * appear in files, libvirt and the kernel, and no single event announces them, so the condition is polled.
 */
export async function until(condition: () => Promise<boolean> | boolean, timeoutSeconds = 20): Promise<void> {
  const began = performance.now();
  for (let asked = began; !(await condition()); asked = performance.now()) {
    const now = performance.now();
    const seconds = (now - began) / 1000;
    if (seconds > timeoutSeconds * busyness() + stallSeconds)
      throw new Error(`not true after ${seconds.toFixed(1)} s: ${condition}`);
    const pauseMs = Math.min(Math.max(10, 2 * (now - asked)), longestPauseMs);
    await new Promise(resolve => setTimeout(resolve, pauseMs));
  }
}

/**
 * Returns how many times as long as on an idle host something may take: processes wait for the processors, other tests
 * among them. A time limit of a test is for an idle host.
 */
export function busyness(): number {
  const [runnable = 0] = loadavg();
  return Math.max(1, (2 * runnable) / availableParallelism());
}
