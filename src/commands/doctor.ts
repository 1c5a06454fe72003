// `virlan doctor`: shows the findings of the checks, as text or JSON, and repairs what virlan can repair.
import { isDeepStrictEqual } from 'node:util';
import { wrap } from '../cli/layout.ts';
import type { Values } from '../cli/options.ts';
import { print, printJson, printJsonLine, progress, type Style, style } from '../cli/terminal.ts';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import type { Check } from '../diagnosis/doctor/doctor.ts';
import { type Fix, fail, type State } from '../diagnosis/finding.ts';
import type { Subject } from '../diagnosis/subject.ts';
import { subjectText } from '../diagnosis/words/subject-text.ts';
import { fixFor, seen } from '../diagnosis/words/words.ts';
import { messageOf, VirlanError } from '../errors.ts';
import type { ConfigOfFile } from '../libvirt-networks/arrange.ts';
import { bringUp } from '../operations/bring-up.ts';
import { type Decisions, explainDecisions } from '../operations/explain-decisions.ts';
import { reserveRunning } from '../operations/reserve-running.ts';
import { trailJson, trailText } from '../report/trail-text.ts';
import { forTerminal } from '../text.ts';

/** Finds out why a machine has no address or no internet. Returns the exit code: 1 after a failure. */
export async function doctor(options: Values, name: string | null): Promise<number> {
  if (options.follow && !options.json)
    throw new VirlanError('usage', 'doctor --follow prints JSON: virlan doctor --json --follow');
  const read = readConfig(options.config);
  if (read.kind === 'unreadable') return report(options, [read.check], null, []);
  const { config } = read;
  const decisions = options.verbose ? await readDecisions(config, name) : [];
  const { examine } = await import('../diagnosis/doctor/doctor.ts');
  const done = options.follow ? printChecks : () => {};
  const checks = await progress(describeWait(config), examine(config, name, done));
  const repairable = checks.filter(isRepairable);
  if (!options.fix || repairable.length === 0)
    return report(options, checks, options.fix ? [] : null, decisions);
  const failures = await progress('repairing', repair({ config, path: options.config }, name));
  const again = await progress(describeWait(config), examine(config, name, done));
  const stillFails = ({ subject, check }: Check) =>
    again.some(
      other => isDeepStrictEqual(other.subject, subject) && other.check === check && other.state === 'fail',
    );
  return report(
    options,
    [...again, ...failures],
    repairable.filter(each => !stillFails(each)),
    decisions,
  );
}

/** Returns the progress message: a port in a bridge with STP forwards nothing for its first four seconds. */
function describeWait({ networks }: Config): string {
  const slow = networks.filter(({ stp }) => stp).map(({ name }) => name);
  return slow.length === 0
    ? 'checking'
    : `checking; because of STP a probe takes 4 s longer on ${slow.join(', ')}`;
}

type ConfigReading =
  | { readonly kind: 'read'; readonly config: Config }
  | { readonly kind: 'unreadable'; readonly check: Check };

/** Reads the configuration. An error in it is a finding like any other. */
function readConfig(path: string): ConfigReading {
  try {
    return { kind: 'read', config: loadConfig(path) };
  } catch (error) {
    const finding = fail('config', { kind: 'config-unreadable', message: messageOf(error) });
    return { kind: 'unreadable', check: { subject: { kind: 'host' }, ...finding } };
  }
}

function isWarning({ state }: Check): boolean {
  return state === 'warn';
}

function isRepairable({ state, detail }: Check): boolean {
  return state === 'fail' && fixFor(detail)?.ours === true;
}

/** Repairs what virlan can repair. Returns a failed check if that was not possible. */
async function repair(from: ConfigOfFile, name: string | null): Promise<Check[]> {
  try {
    await bringUp(from, from.config.networks);
    if (name !== null) {
      await reserveRunning(from.config, name);
      // The guard of a network follows from its reservations.
      await bringUp(from, from.config.networks);
    }
    return [];
  } catch (error) {
    const finding = fail('settings', { kind: 'fix-failed', message: messageOf(error) });
    return [{ subject: { kind: 'host' }, ...finding }];
  }
}

/** Prints the checks and returns the exit code. `repaired`: what `--fix` repaired; null without `--fix`. */
function report(
  { json, follow, verbose }: Values,
  checks: readonly Check[],
  repaired: readonly Check[] | null,
  decisions: readonly Decisions[],
): number {
  const [cause = null] = checks.filter(({ state }) => state === 'fail');
  const result = () => ({ ...reportJson(checks, cause, repaired), ...decisionsJson(decisions) });
  if (follow) printJsonLine(result());
  else if (json) printJson(result());
  else {
    printRepaired(repaired ?? []);
    print(...formatChecks(verbose || cause !== null ? checks : checks.filter(isWarning)));
    print(...formatDecisions(decisions));
    if (cause === null) printSuccess(checks);
    else printCause(cause);
    if (repaired === null && checks.some(isRepairable))
      print('"virlan doctor --fix" repairs what virlan can repair.');
  }
  return cause === null ? 0 : 1;
}

/** Prints the checks of one subject as a line of JSON, for a program that shows them as they are made. */
function printChecks(checks: readonly Check[]): void {
  printJsonLine({ checks: checks.map(checkJson) });
}

/** Returns the form of `virlan doctor --json`: fields may be added, never renamed. */
function reportJson(
  checks: readonly Check[],
  cause: Check | null,
  repaired: readonly Check[] | null,
): object {
  return {
    well: cause === null,
    explanation: cause === null ? null : withFix(cause),
    ...(repaired === null ? {} : { mended: repaired.map(named) }),
    checks: checks.map(checkJson),
  };
}

function checkJson(check: Check): object {
  return { ...withFix(check), state: check.state };
}

function withFix(check: Check): object {
  return { ...named(check), fix: fixFor(check.detail) };
}

function named({ subject, check, detail }: Check): object {
  return { about: subjectText(subject), check, code: detail.kind, seen: seen(detail) };
}

function printRepaired(repaired: readonly Check[]): void {
  for (const { detail } of repaired)
    print(...wrap(`${style('repaired', 'green')}  ${forTerminal(seen(detail))}`, 10));
}

function printSuccess(checks: readonly Check[]): void {
  print(checks.some(isWarning) ? 'Nothing else is wrong.' : style('All is well.', 'green'));
}

function printCause({ subject, detail }: Check): void {
  print('', ...wrap(`${subjectTitle(subject)}: ${forTerminal(seen(detail))}.`, 0));
  const fix = fixFor(detail);
  if (fix !== null)
    print(`${fix.mends ? 'Repair it with' : 'See more with'}:  ${style(forTerminal(fix.command), 'bold')}`);
}

const signs: Readonly<Record<State, { readonly text: string; readonly colour: Style }>> = {
  ok: { text: '✓', colour: 'green' },
  warn: { text: '!', colour: 'yellow' },
  fail: { text: '✗', colour: 'red' },
  skipped: { text: '-', colour: 'dim' },
};

function signOf(state: State): string {
  const { text, colour } = signs[state];
  return style(text, colour);
}

function subjectTitle(subject: Subject): string {
  return style(forTerminal(subjectText(subject)), 'bold');
}

/** Returns a line for each check, wrapped where it is too long, under a line for its subject. */
function formatChecks(checks: readonly Check[]): string[] {
  const width = Math.max(0, ...checks.map(({ check }) => check.length));
  const indent = width + 6;
  const indented = (line: string) => `${' '.repeat(indent)}${forTerminal(line)}`;
  return checks.flatMap(({ subject, check, state, detail }, index) => [
    ...(isDeepStrictEqual(checks[index - 1]?.subject, subject) ? [] : [subjectTitle(subject)]),
    ...wrap(`  ${signOf(state)} ${check.padEnd(width)}  ${forTerminal(seen(detail))}`, indent),
    ...commandOf(state, fixFor(detail)).map(indented),
  ]);
}

/** Reads the decisions. Returns none where they cannot be read: a check reports why. */
async function readDecisions(config: Config, name: string | null): Promise<Decisions[]> {
  try {
    return await explainDecisions(config, name);
  } catch (error) {
    if (error instanceof VirlanError) return [];
    throw error;
  }
}

/** Returns the decisions of virlan as text, one line for each step. */
function formatDecisions(decisions: readonly Decisions[]): string[] {
  return decisions.flatMap(({ subject, trail }) => [
    style(forTerminal(`decisions: ${subjectText(subject)}`), 'bold'),
    ...trail.flatMap(step => wrap(`  ${forTerminal(trailText(step))}`, 4)),
  ]);
}

function decisionsJson(decisions: readonly Decisions[]): object {
  if (decisions.length === 0) return {};
  return {
    decisions: decisions.map(({ subject, trail }) => ({
      about: subjectText(subject),
      why: trail.map(trailJson),
    })),
  };
}

/**
 * Returns the command below a warning. The command of the cause is printed last, those of other failures are
 * not.
 */
function commandOf(state: State, fix: Fix | null): string[] {
  return state === 'warn' && fix !== null ? [fix.command] : [];
}
