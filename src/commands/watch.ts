// `virlan watch`: runs the watcher in the foreground.
import type { Values } from '../cli/options.ts';
import { Watcher } from '../watcher/watch.ts';

/** Runs the watcher until a signal ends it. */
export async function watch({ config }: Values): Promise<number> {
  await new Watcher(config).run();
  return 0;
}
