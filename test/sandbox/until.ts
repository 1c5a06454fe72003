// Waiting for a condition by polling.

/**
 * Resolves when the condition holds; throws if it does not hold within the time limit. Effects of the watcher
 * appear in files, libvirt and the kernel, and no single event announces them, so the condition is polled.
 */
export async function until(condition: () => Promise<boolean> | boolean, timeoutSeconds = 10): Promise<void> {
  const end = performance.now() + timeoutSeconds * 1000;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not true after ${timeoutSeconds} s: ${condition}`);
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}
