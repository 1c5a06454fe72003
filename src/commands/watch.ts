import type { Values } from '../cli/table.ts';

/** `virlan watch`: runs until it is told to end. What only the watcher needs is a file of its own, loaded here. */
export async function watch({ config }: Values): Promise<number> {
  const { Watcher } = await import('../watcher/watch.ts');
  await new Watcher(config).run();
  return 0;
}
