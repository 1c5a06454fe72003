// The watcher's answer to a question of a command about the host.
import { paths } from '../system/paths.ts';

/**
 * Returns what the watcher answers at a path such as `/status`; null without a watcher, or for a configuration other
 * than the watcher's.
 */
export async function watcherAnswer(config: string, path: string): Promise<string | null> {
  if (config !== paths.config) return null;
  const { requestWatcher } = await import('../watcher/socket/client.ts');
  const answer = await requestWatcher('GET', path);
  return answer?.status === 200 ? answer.body : null;
}
