import { print, printJson, style, warn } from '../cli/terminal.ts';
import { loadConfig } from '../config/load.ts';
import { defaultUsersText } from '../libvirt-networks/words.ts';
import { type Description, describeStep } from '../network/describe.ts';
import type { Step } from '../network/plan.ts';
import { surveyHost, surveyNetwork } from '../network/survey.ts';
import { forTerminal } from '../text.ts';
import { selectNetworks } from './networks.ts';

/** Exit code of `plan` when there is something to do. */
const changesWanted = 3;

/** `virlan plan`: what `up` would change. */
export async function plan(
  options: { config?: string; json: boolean },
  names: readonly string[],
): Promise<number> {
  const config = loadConfig(options.config);
  const networks = selectNetworks(config, names);
  const host = surveyHost();
  const surveys = [];
  for (const network of networks) surveys.push(await surveyNetwork(network));
  for (const { refusal, conflicts, obstacles } of surveys) {
    if (refusal !== null) throw new Error(refusal);
    for (const line of [...conflicts, ...obstacles]) warn(line);
  }

  const groups = [
    { title: 'host', steps: host.steps },
    ...surveys.map(({ network, steps }) => ({ title: `network ${network.name}`, steps })),
  ];
  const count = groups.reduce((sum, group) => sum + group.steps.length, 0);
  if (options.json) {
    const describe = (steps: readonly Step[]) =>
      steps.map(step => ({ ...step, text: oneLine(describeStep(step)) }));
    printJson({
      changes: count,
      ...Object.fromEntries(groups.map(({ title, steps }) => [title, describe(steps)])),
    });
  } else if (count === 0) {
    print('Nothing to do: all is as virlan.ini wants it.');
  } else {
    for (const { title, steps } of groups.filter(group => group.steps.length > 0))
      print(style(title, 'bold'), ...describeSteps(steps));
    print('', `${count} ${count === 1 ? 'change' : 'changes'}; none made. "virlan up" makes them.`);
    const { readDefaultUsers } = await import('../libvirt-networks/arrange.ts');
    const users = readDefaultUsers(config);
    if (users !== null) print(forTerminal(defaultUsersText(users)));
  }
  return count === 0 ? 0 : changesWanted;
}

/** Steps as an indented list. */
export function describeSteps(steps: readonly Step[]): string[] {
  const descriptions = steps.map(describeStep);
  const width = Math.max(
    ...descriptions.filter(({ detail }) => detail !== '').map(({ subject }) => subject.length),
    0,
  );
  const colours = { '+': 'green', '~': 'yellow', '-': 'red' } as const;
  return descriptions.flatMap(({ sign, subject, detail, lines }) => [
    `  ${style(sign, colours[sign])} ${detail === '' ? subject : `${subject.padEnd(width)}  ${detail}`}`,
    ...lines.map(line => `      ${line.length > 72 ? `${line.slice(0, 71)}…` : line}`),
  ]);
}

function oneLine({ sign, subject, detail }: Description): string {
  return `${sign} ${subject}${detail === '' ? '' : `: ${detail}`}`;
}
