// `virlan down`: takes networks down. Ledger, hostsfile and leases stay.
import type { Values } from '../cli/options.ts';
import { print, printJson, progress, style, warn } from '../cli/terminal.ts';
import type { NetworkConfig } from '../config/config.ts';
import { InvalidConfig } from '../config/invalid-config.ts';
import { loadConfig } from '../config/load.ts';
import type { NetworkAction } from '../libvirt-networks/decide.ts';
import { changeText, libvirtNetworkProblemText } from '../libvirt-networks/words.ts';
import { selectKnownNetworks, takeDownNetworks } from '../operations/take-down-networks.ts';
import { writeEvents } from '../operations/write-events.ts';
import { libvirtEvents } from '../report/libvirt-events.ts';
import { warningText } from '../report/warning-text.ts';
import { paths } from '../system/paths.ts';
import { stepJson, stepLines } from './step-list.ts';

/** Takes networks down; with `restoreDefault` also restores libvirt's own. Returns the exit code. */
export async function down(options: Values, names: readonly string[]): Promise<number> {
  const configured = readNetworks(options.config, names.length === 0);
  const isLeftOver = leftOver(options.config, configured);
  const { watcherRuns } = await import('../watcher/socket/client.ts');
  const networks = await progress(
    'taking networks down',
    takeDownNetworks(selectKnownNetworks(configured ?? [], names), (await watcherRuns()) ? 'refuse' : 'warn'),
  );
  for (const { failed, warnings } of networks) {
    for (const { error } of failed) warn(error.message);
    for (const warning of warnings) warn(warningText(warning));
  }
  const leftovers = new Set(networks.map(({ name }) => name).filter(isLeftOver));
  const actions = (options.restoreDefault ? await restoreLibvirt() : await removeFromLibvirt(leftovers)).map(
    changeText,
  );
  const isShown = options.restoreDefault || actions.length > 0;
  if (options.json) {
    const networksDown = networks.map(({ name, done }) => ({ name, changes: done.map(stepJson) }));
    printJson({ networks: networksDown, ...(isShown ? { libvirt: actions } : {}) });
  } else {
    for (const { name, done } of networks) {
      print(
        `${style(name, 'bold')} ${done.length === 0 ? 'was down already' : 'is down:'}`,
        ...stepLines(done),
      );
    }
    if (actions.length > 0) print(`libvirt's networks: ${actions.join(', ')}`);
  }
  return 0;
}

async function restoreLibvirt(): Promise<readonly NetworkAction[]> {
  const { restoreNetworks } = await import('../libvirt-networks/restore.ts');
  const restored = await restoreNetworks();
  await writeEvents(libvirtEvents(restored));
  for (const problem of restored.problems) warn(libvirtNetworkProblemText(problem));
  return restored.actions;
}

/** Removes libvirt's networks of these names that virlan made. A running watcher may have done so. */
async function removeFromLibvirt(names: ReadonlySet<string>): Promise<readonly NetworkAction[]> {
  if (names.size === 0) return [];
  const { removeNetworks } = await import('../libvirt-networks/arrange.ts');
  const removed = await removeNetworks(names);
  if (removed === null) return [];
  await writeEvents(libvirtEvents(removed));
  for (const problem of removed.problems) warn(libvirtNetworkProblemText(problem));
  return removed.actions;
}

/**
 * Returns which networks no configuration has any more, neither this one nor the installed one. None, if one of them
 * cannot be read.
 */
function leftOver(path: string, configured: readonly NetworkConfig[] | null): (name: string) => boolean {
  const installed = path === paths.config ? configured : readNetworks(paths.config, true);
  if (configured === null || installed === null) return () => false;
  const names = new Set([...configured, ...installed].map(({ name }) => name));
  return name => !names.has(name);
}

/**
 * Returns the configured networks; null if the configuration is invalid and all networks are to be taken
 * down.
 */
function readNetworks(configPath: string, isAll: boolean): readonly NetworkConfig[] | null {
  try {
    return loadConfig(configPath).networks;
  } catch (error) {
    if (!(error instanceof InvalidConfig) || !isAll) throw error;
    warn(error.message);
    return null;
  }
}
