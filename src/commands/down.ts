// `virlan down`: takes networks down. Ledger, hostsfile and leases stay.
import type { Values } from '../cli/options.ts';
import { print, printJson, progress, style, warn } from '../cli/terminal.ts';
import type { NetworkConfig } from '../config/config.ts';
import { InvalidConfig } from '../config/invalid-config.ts';
import { loadConfig } from '../config/load.ts';
import { changeText, libvirtNetworkProblemText } from '../libvirt-networks/words.ts';
import { selectKnownNetworks, takeDownNetworks } from '../operations/take-down-networks.ts';
import { writeEvents } from '../operations/write-events.ts';
import { warningText } from '../report/warning-text.ts';
import { stepJson, stepLines } from './step-list.ts';

/** Takes networks down; with `restoreDefault` also restores libvirt's own. Returns the exit code. */
export async function down(options: Values, names: readonly string[]): Promise<number> {
  const configured = readNetworks(options.config, names.length === 0);
  const networks = await progress(
    'taking networks down',
    takeDownNetworks(selectKnownNetworks(configured, names)),
  );
  for (const { failed, warnings } of networks) {
    for (const { error } of failed) warn(error.message);
    for (const warning of warnings) warn(warningText(warning));
  }
  const libvirt = options.restoreDefault ? await restoreLibvirt() : null;
  const actions = (libvirt?.actions ?? []).map(changeText);
  if (options.json) {
    const networksDown = networks.map(({ name, done }) => ({ name, changes: done.map(stepJson) }));
    printJson({ networks: networksDown, ...(libvirt === null ? {} : { libvirt: actions }) });
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

async function restoreLibvirt() {
  const { restoreNetworks } = await import('../libvirt-networks/restore.ts');
  const restored = await restoreNetworks();
  await writeEvents(restored.actions.map(action => ({ kind: 'libvirt-network-changed', action })));
  for (const problem of restored.problems) warn(libvirtNetworkProblemText(problem));
  return restored;
}

/**
 * Returns the configured networks; none if the configuration is invalid and all networks are to be taken
 * down.
 */
function readNetworks(configPath: string, isAll: boolean): readonly NetworkConfig[] {
  try {
    return loadConfig(configPath).networks;
  } catch (error) {
    if (!(error instanceof InvalidConfig) || !isAll) throw error;
    warn(error.message);
    return [];
  }
}
