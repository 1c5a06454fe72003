import { paths } from '../system/paths.ts';

/** `virlan watch`: runs until it is told to end. What only the watcher needs is a file of its own, loaded here. */
export async function watch(options: { config?: string }): Promise<number> {
  const { Watcher } = await import('../watcher/watch.ts');
  await new Watcher(options.config ?? paths.config).run();
  return 0;
}
