// `virlan watch`: runs the watcher in the foreground.
import type { Values } from '../cli/table.ts';

/** Runs the watcher until a signal ends it. Its code is a bundle of its own: no other command loads it. */
export async function watch({ config }: Values): Promise<number> {
  const { Watcher } = await import('../watcher/watch.ts');
  await new Watcher(config).run();
  return 0;
}
