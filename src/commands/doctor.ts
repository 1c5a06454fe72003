import type { Values } from '../cli/table.ts';
import { print, printJson, progress, style, wrap } from '../cli/terminal.ts';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import type { Check } from '../diagnosis/doctor/doctor.ts';
import { bringUp } from '../operations/establish-networks.ts';
import { forTerminal } from '../text.ts';

/** `virlan doctor`: why a machine has no address or no internet, and what mends it. */
export async function doctor(options: Values, name: string | null): Promise<number> {
  const config = readConfig(options.config);
  if ('problem' in config) return tell(options, [config.problem], null);
  const { examine } = await import('../diagnosis/doctor/doctor.ts');
  const checks = await progress(describeWait(config), examine(config, name));
  const due = checks.filter(({ state, fix }) => state === 'fail' && fix?.ours);
  if (!options.fix || due.length === 0) return tell(options, checks, options.fix ? [] : null);
  const trouble = await progress('repairing', mend(config, name));
  const again = await progress(describeWait(config), examine(config, name));
  const isStill = ({ about, check }: Check) =>
    again.some(other => other.about === about && other.check === check && other.state === 'fail');
  return tell(
    options,
    trouble === null ? again : [...again, trouble],
    due.filter(each => !isStill(each)),
  );
}

/** Says what takes so long: a port in a bridge with STP forwards nothing for its first four seconds. */
function describeWait({ networks }: Config): string {
  const slow = networks.filter(({ stp }) => stp).map(({ name }) => name);
  return slow.length === 0
    ? 'checking'
    : `checking; because of STP a probe takes 4 s longer on ${slow.join(', ')}`;
}

/** A configuration that cannot be read is a finding like any other. */
function readConfig(path: string): Config | { problem: Check } {
  try {
    return loadConfig(path);
  } catch (error) {
    const seen = (error as Error).message;
    return { problem: { about: 'host', check: 'config', state: 'fail', seen, fix: null } };
  }
}

/** Does what virlan can do; a finding where that fails. */
async function mend(config: Config, name: string | null): Promise<Check | null> {
  try {
    const { reserveFor } = await import('../diagnosis/doctor/doctor.ts');
    await bringUp(config, config.networks);
    if (name !== null) await reserveFor(config, name);
    return null;
  } catch (error) {
    return { about: 'host', check: 'settings', state: 'fail', seen: (error as Error).message, fix: null };
  }
}

/** `mended` is what `--fix` mended; null where nobody asked. */
function tell({ json, verbose }: Values, checks: readonly Check[], mended: readonly Check[] | null): number {
  const failures = checks.filter(({ state }) => state === 'fail');
  const [first] = failures;
  if (json) {
    const explanation =
      first === undefined
        ? null
        : { about: first.about, check: first.check, seen: first.seen, fix: first.fix };
    printJson({
      well: first === undefined,
      explanation,
      ...(mended === null
        ? {}
        : { mended: mended.map(({ about, check, seen }) => ({ about, check, seen })) }),
      checks,
    });
    return first === undefined ? 0 : 1;
  }
  for (const { seen } of mended ?? []) print(...wrap(`${style('mended', 'green')}  ${forTerminal(seen)}`, 8));
  const shown = checks.filter(({ state }) => verbose || first !== undefined || state === 'warn');
  print(...formatChecks(shown));
  if (first === undefined) {
    print(
      shown.some(({ state }) => state === 'warn') ? 'Nothing else is wrong.' : style('All is well.', 'green'),
    );
    return 0;
  }
  const { about, seen, fix } = first;
  print('', ...wrap(`${style(forTerminal(about), 'bold')}: ${forTerminal(seen)}.`, 0));
  if (fix !== null)
    print(`${fix.mends ? 'Mend it with' : 'See more with'}:  ${style(forTerminal(fix.command), 'bold')}`);
  if (failures.some(each => each.fix?.ours) && mended === null)
    print('What virlan can mend by itself, "virlan doctor --fix" does.');
  return 1;
}

const signs = {
  ok: style('✓', 'green'),
  warn: style('!', 'yellow'),
  fail: style('✗', 'red'),
  skipped: style('-', 'dim'),
};

/** A line for each check, under a line for what they are about; what is too long goes on below. */
function formatChecks(checks: readonly Check[]): string[] {
  const width = Math.max(0, ...checks.map(({ check }) => check.length));
  return checks.flatMap(({ about, check, state, seen, fix }, index) => {
    const indent = width + 6;
    const lines = wrap(`  ${signs[state]} ${check.padEnd(width)}  ${forTerminal(seen)}`, indent);
    const isShown = fix !== null && state === 'warn';
    return [
      ...(checks[index - 1]?.about === about ? [] : [style(forTerminal(about), 'bold')]),
      ...lines,
      ...(isShown ? [`${' '.repeat(indent)}${forTerminal(fix.command)}`] : []),
    ];
  });
}
