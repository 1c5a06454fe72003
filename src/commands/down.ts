import { print, printJson, style, warn } from '../cli/terminal.ts';
import type { NetworkConfig } from '../config/config.ts';
import { InvalidConfig, loadConfig } from '../config/load.ts';
import { actionFields, changeText, problemText } from '../libvirt-networks/words.ts';
import { describeStep } from '../network/describe.ts';
import { takeDown, withNetworkLock } from '../network/establish.ts';
import { readBefore } from '../network/original-state.ts';
import { describeSteps } from './plan.ts';

/**
 * `virlan down`: takes networks down, also those that virlan.ini no longer has. Ledger, hostsfile and leases stay.
 * With restoreDefault libvirt's own networks are put back, too.
 */
export async function down(
  options: { config?: string; json: boolean; restoreDefault: boolean },
  names: readonly string[],
): Promise<number> {
  const done = await withNetworkLock(async () => {
    const results = [];
    for (const { name, bridge } of selectKnown(options.config, names))
      results.push({ name, ...(await takeDown(name, bridge)) });
    return results;
  });
  const { openLog } = await import('../system/log.ts');
  const log = openLog();
  for (const { name, steps } of done) {
    if (steps.length > 0) log.info({ network: name, steps: steps.map(describeStep) }, 'network taken down');
  }
  for (const warning of done.flatMap(({ warnings }) => warnings)) {
    log.warn(warning);
    warn(warning);
  }
  const libvirt = options.restoreDefault ? await restoreLibvirt() : null;
  for (const action of libvirt?.actions ?? []) log.info({ action: actionFields(action) }, 'libvirt network');
  for (const problem of libvirt?.problems ?? []) warn(problemText(problem));
  const actions = (libvirt?.actions ?? []).map(changeText);
  if (options.json) {
    const networksDown = done.map(({ name, steps }) => ({ name, changes: steps }));
    printJson({ networks: networksDown, ...(libvirt === null ? {} : { libvirt: actions }) });
  } else {
    for (const { name, steps } of done) {
      print(
        `${style(name, 'bold')} ${steps.length === 0 ? 'was down already' : 'is down:'}`,
        ...describeSteps(steps),
      );
    }
    if (actions.length > 0) print(`libvirt's networks: ${actions.join(', ')}`);
  }
  return 0;
}

async function restoreLibvirt() {
  const { restoreNetworks } = await import('../libvirt-networks/restore.ts');
  return restoreNetworks();
}

function selectKnown(
  configPath: string | undefined,
  names: readonly string[],
): { name: string; bridge: string }[] {
  const known = new Map(
    Object.entries(readBefore()?.networks ?? {}).map(([bridge, { name }]) => [name, bridge]),
  );
  for (const { name, bridge } of readNetworks(configPath, names.length === 0))
    if (!known.has(name)) known.set(name, bridge);
  const chosen = names.length === 0 ? [...known.keys()] : names;
  return chosen.map(name => {
    const bridge = known.get(name);
    if (bridge === undefined)
      throw new Error(
        `there is no network ${JSON.stringify(name)}: there are ${[...known.keys()].join(', ')}`,
      );
    return { name, bridge };
  });
}

/** Those of the configuration. A broken one does not keep all the networks up that virlan knows it established. */
function readNetworks(configPath: string | undefined, isAll: boolean): readonly NetworkConfig[] {
  try {
    return loadConfig(configPath).networks;
  } catch (error) {
    if (!(error instanceof InvalidConfig) || !isAll) throw error;
    warn(error.message);
    return [];
  }
}
