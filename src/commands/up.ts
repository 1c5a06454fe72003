import { print, printJson, style, warn } from '../cli/terminal.ts';
import type { Config, NetworkConfig } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { actionFields, changeText, defaultUsersText, problemText } from '../libvirt-networks/words.ts';
import { describeStep } from '../network/describe.ts';
import { establish, withNetworkLock } from '../network/establish.ts';
import { publishNetwork } from '../operations/publish.ts';
import { forTerminal } from '../text.ts';
import { selectNetworks } from './networks.ts';
import { describeSteps } from './plan.ts';

/** `virlan up`: establishes networks, and arranges libvirt's own. */
export async function up(
  options: { config?: string; json: boolean },
  names: readonly string[],
): Promise<number> {
  const config = loadConfig(options.config);
  const { done, libvirt, warnings } = await bringUp(config, selectNetworks(config, names));
  for (const warning of warnings) warn(warning);
  const actions = (libvirt?.actions ?? []).filter(action => action.kind !== 'save').map(changeText);
  if (options.json) {
    const networksUp = done.map(({ network, steps }) => ({ name: network.name, changes: steps }));
    printJson({ networks: networksUp, libvirt: libvirt === null ? null : actions, warnings });
    return 0;
  }
  for (const { network, steps } of done) {
    print(
      `${style(network.name, 'bold')} is up${steps.length === 0 ? '; nothing had to be changed' : ':'}`,
      ...describeSteps(steps),
    );
  }
  if (libvirt === null)
    print('libvirtd does not answer: its networks are arranged when it does, by "virlan up".');
  if (actions.length > 0) print(`libvirt's networks: ${actions.join(', ')}`);
  const { readDefaultUsers } = await import('../libvirt-networks/arrange.ts');
  const users = actions.length > 0 ? readDefaultUsers(config) : null;
  if (users !== null) print(forTerminal(defaultUsersText(users)));
  return 0;
}

/** Establishes networks, takes away what a killed probe left on them, and arranges libvirt's own. Throws at the first that fails. */
export async function bringUp(config: Config, networks: readonly NetworkConfig[]) {
  const done = await withNetworkLock(async () => {
    const results = [];
    for (const network of networks) results.push({ network, ...(await establish(network)) });
    return results;
  });
  // What the network itself does not wait for is loaded when it is up.
  const { openLog } = await import('../system/log.ts');
  const { arrangeNetworksOnce } = await import('../libvirt-networks/arrange.ts');
  const { clearProbe } = await import('../diagnosis/probe/probe.ts');
  const log = openLog();
  for (const { network, steps } of done) {
    if (steps.length > 0)
      log.info(
        { network: network.name, steps: steps.map(step => describeStep(step)) },
        'network established',
      );
    publishNetwork(network);
    await clearProbe(network);
  }
  const libvirt = await arrangeNetworksOnce(config);
  for (const action of libvirt?.actions ?? []) log.info({ action: actionFields(action) }, 'libvirt network');
  const warnings = [...done.flatMap(each => each.warnings), ...(libvirt?.problems ?? []).map(problemText)];
  for (const warning of warnings) log.warn(warning);
  return { done, libvirt, warnings };
}
