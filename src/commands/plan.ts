// `virlan plan`: shows what `up` would change, and changes nothing.
import type { Values } from '../cli/options.ts';
import { print, printJson, progress, style, warn } from '../cli/terminal.ts';
import { loadConfig } from '../config/load.ts';
import { VirlanError } from '../errors.ts';
import { defaultFateText } from '../libvirt-networks/words.ts';
import { surveyHost } from '../network/survey-host.ts';
import { surveyNetwork } from '../network/survey-network.ts';
import { obstacleText } from '../network/warnings/obstacle-text.ts';
import { warningText } from '../report/warning-text.ts';
import { forTerminal } from '../text.ts';
import { selectNetworks } from './networks.ts';
import { stepJson, stepLines } from './step-list.ts';

/** Exit code when there are changes to make. */
const changesExitCode = 3;

/** Prints the steps that `virlan up` would take. Returns the exit code. */
export async function plan(options: Values, names: readonly string[]): Promise<number> {
  const config = loadConfig(options.config);
  const host = surveyHost({ hostForwards: config.networks.some(({ hostForwards }) => hostForwards) });
  const surveys = [];
  for (const network of selectNetworks(config, names))
    surveys.push(await progress(`reading network ${network.name}`, surveyNetwork(network)));
  for (const { refusal, damage, warnings } of surveys) {
    if (refusal !== null) throw new VirlanError('refused', obstacleText(refusal));
    if (damage !== null) throw damage;
    for (const warning of warnings) warn(warningText(warning));
  }

  const groups = [
    { title: 'host', steps: host.steps },
    ...surveys.map(({ network, steps }) => ({ title: `network ${network.name}`, steps })),
  ];
  const count = groups.reduce((sum, group) => sum + group.steps.length, 0);
  if (options.json) {
    const changes = groups.map(({ title, steps }) => [title, steps.map(stepJson)] as const);
    printJson({ changes: count, ...Object.fromEntries(changes) });
  } else if (count === 0) {
    print('Nothing to do: everything is as virlan.ini wants it.');
  } else {
    for (const { title, steps } of groups.filter(group => group.steps.length > 0))
      print(style(title, 'bold'), ...stepLines(steps));
    print('', `${count} ${count === 1 ? 'change' : 'changes'}; none made. "virlan up" makes them.`);
    const { readDefaultFates } = await import('../libvirt-networks/arrange.ts');
    for (const fate of readDefaultFates(config)) print(forTerminal(defaultFateText(fate)));
  }
  return count === 0 ? 0 : changesExitCode;
}
