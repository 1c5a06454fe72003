import { print, printJson, style } from '../cli/terminal.ts';
import { loadConfig } from '../config/load.ts';
import { readBefore } from '../network/before.ts';
import { describeStep } from '../network/describe.ts';
import { takeDown, withNetworkLock } from '../network/establish.ts';
import { describeSteps } from './plan.ts';

/** `virlan down`: takes networks down, also those that virlan.ini no longer has. Ledger, hostsfile and leases stay. */
export async function down(
  options: { config?: string; json: boolean },
  names: readonly string[],
): Promise<number> {
  const done = await withNetworkLock(async () => {
    const results = [];
    for (const { name, bridge } of selectKnown(options.config, names))
      results.push({ name, steps: await takeDown(name, bridge) });
    return results;
  });
  const { openLog } = await import('../host/log.ts');
  const log = openLog();
  for (const { name, steps } of done) {
    if (steps.length > 0) log.info({ network: name, steps: steps.map(describeStep) }, 'network taken down');
  }
  if (options.json) printJson({ networks: done.map(({ name, steps }) => ({ name, changes: steps })) });
  else {
    for (const { name, steps } of done) {
      print(
        `${style(name, 'bold')} ${steps.length === 0 ? 'was down already' : 'is down:'}`,
        ...describeSteps(steps),
      );
    }
  }
  return 0;
}

function selectKnown(
  configPath: string | undefined,
  names: readonly string[],
): { name: string; bridge: string }[] {
  const known = new Map(
    Object.entries(readBefore()?.networks ?? {}).map(([bridge, { name }]) => [name, bridge]),
  );
  for (const { name, bridge } of loadConfig(configPath).networks)
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
