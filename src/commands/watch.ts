// `virlan watch`: runs the watcher in the foreground.
import type { Values } from '../cli/options.ts';
import { VirlanError } from '../errors.ts';
import { LockTimeout, withLock } from '../system/lock.ts';
import { paths } from '../system/paths.ts';
import { ignoreOtherSignals } from '../watcher/process/end-signals.ts';
import { Watcher } from '../watcher/watch.ts';

/** Runs the watcher until a signal ends it. Throws VirlanError 'wrong-state' at once when another one runs. */
export async function watch({ config }: Values): Promise<number> {
  ignoreOtherSignals();
  const watcher = new Watcher(config);
  try {
    await withLock(paths.watcherLock, 0, () => watcher.run());
  } catch (error) {
    if (!(error instanceof LockTimeout && error.path === paths.watcherLock)) throw error;
    const message = `another virlan watch runs already: process ${error.holder}`;
    throw new VirlanError('wrong-state', message, { cause: error });
  }
  return 0;
}
