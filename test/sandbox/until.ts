// Waiting for a condition by polling.
import { availableParallelism, loadavg } from 'node:os';

/** A virtual machine that runs the tests may stand still for some seconds, which its load does not show. */
const stallSeconds = 4;

/**
 * Resolves when the condition holds; throws if it does not hold within the time limit. Effects of the watcher
 * appear in files, libvirt and the kernel, and no single event announces them, so the condition is polled.
 */
export async function until(condition: () => Promise<boolean> | boolean, timeoutSeconds = 20): Promise<void> {
  const began = performance.now();
  while (!(await condition())) {
    const seconds = (performance.now() - began) / 1000;
    if (seconds > timeoutSeconds * busyness() + stallSeconds)
      throw new Error(`not true after ${seconds.toFixed(1)} s: ${condition}`);
    await new Promise(resolve => setTimeout(resolve, 10));
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
