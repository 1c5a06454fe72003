// The priority of the watcher's process.
import { getPriority, setPriority } from 'node:os';

/** The degree to which the watcher is preferred to other processes; install/systemd has the same for the service. */
const niceness = -10;

/**
 * Prefers the watcher to other processes: it does little, but a machine's start waits for it. Without systemd
 * nothing else does this; the service, which may not, is preferred by its unit.
 */
export function preferThisProcess(): void {
  try {
    if (getPriority() > niceness) setPriority(niceness);
  } catch {
    // It is only slower on a busy host.
  }
}
