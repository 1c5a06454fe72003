// Waits for networks that are being established.
import { mkdirSync } from 'node:fs';
import { watch } from 'node:fs/promises';
import { pidDirectory } from '../../dnsmasq/paths.ts';
import { isAlive } from '../../dnsmasq/process.ts';

/**
 * Resolves with true as soon as all networks have their bridge and their dnsmasq, which writes its pid file once
 * it has its ports; with false when `signal` is aborted, or where inotify is used up.
 */
export async function becomeAlive(
  networks: readonly { readonly bridge: string }[],
  signal: AbortSignal,
): Promise<boolean> {
  try {
    mkdirSync(pidDirectory, { recursive: true });
    for await (const _ of watch(pidDirectory, { signal })) if (networks.every(isAlive)) return true;
  } catch {
    // The caller waits for the whole work.
  }
  return false;
}
