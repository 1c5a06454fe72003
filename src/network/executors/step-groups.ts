// Groups of steps: those that one process executes, that run side by side, or that depend on each other.

import { dirname } from 'node:path';
import { isAnswer } from '../../answers.ts';
import { startDnsmasq, stopDnsmasq } from '../../dnsmasq/service.ts';
import { CommandError } from '../../errors.ts';
import { loadTables } from '../../firewall/nft-script.ts';
import { makeDirectory, type StagedFile, stageFile } from '../../system/files.ts';
import { system } from '../../system/system.ts';
import type { Step, StepName, StepOf } from '../steps/steps.ts';
import { type Executor, executors } from './executors.ts';
import { runIpBatch } from './ip-batch.ts';
import { makesTable, newTable } from './new-table.ts';

export interface FailedStep {
  readonly step: Step;
  readonly error: Error;
}

/** The outcome of each step. */
export interface Outcome {
  readonly done: readonly Step[];
  readonly failed: readonly FailedStep[];
  /** Steps that were not tried, because an earlier one failed. */
  readonly skipped: readonly Step[];
}

const noOutcome: Outcome = { done: [], failed: [], skipped: [] };

export function joinOutcomes(first: Outcome, second: Outcome): Outcome {
  return {
    done: [...first.done, ...second.done],
    failed: [...first.failed, ...second.failed],
    skipped: [...first.skipped, ...second.skipped],
  };
}

/** Steps that one process executes, or one function. */
export interface Group {
  readonly steps: readonly Step[];
  run(onFailure: 'stop' | 'continue'): Promise<Outcome>;
}

/**
 * Joins groups that load rules, and the group after them where that adds links and changes no other: nothing
 * is plugged into them, so no machine is reachable before the rules are there. libvirtd waits 6 ms less for
 * each.
 */
export function loadRulesSideBySide(groups: readonly Group[]): Group[] {
  const joined: Group[][] = [];
  for (const group of groups) {
    const before = joined.at(-1);
    const canJoin = loadsRules(group.steps) || changesOnlyNewLinks(group.steps);
    if (canJoin && before?.every(({ steps }) => loadsRules(steps))) before.push(group);
    else joined.push([group]);
  }
  return joined.map(sideBySide);
}

function sideBySide(groups: readonly Group[]): Group {
  const tables = groups.filter(({ steps }) => steps.every(makesTable));
  const others = groups.filter(group => !tables.includes(group));
  return {
    steps: stepsIn(groups),
    async run(onFailure) {
      const running = [makeTables(tables, onFailure), ...others.map(group => group.run(onFailure))];
      return (await Promise.all(running)).reduce(joinOutcomes);
    },
  };
}

/**
 * Makes tables of nftables in one transaction. If that fails, because a table exists or the kernel refuses a part,
 * each is loaded by itself, so that the others are there.
 */
async function makeTables(groups: readonly Group[], onFailure: 'stop' | 'continue'): Promise<Outcome> {
  const steps = stepsIn(groups);
  if (steps.length > 1) {
    const tables = steps.flatMap(step => newTable(step) ?? []);
    try {
      await loadTables(system, tables.map(({ script }) => script).join(''));
      for (const { complete } of tables) await complete();
      return { ...noOutcome, done: steps };
    } catch (thrown) {
      const error = thrown as Error;
      if (error instanceof CommandError && !isAnswer(error))
        return { ...noOutcome, failed: steps.map(step => ({ step, error })) };
    }
  }
  return (await Promise.all(groups.map(group => group.run(onFailure)))).reduce(joinOutcomes, noOutcome);
}

function stepsIn(groups: readonly Group[]): Step[] {
  return groups.flatMap(({ steps }) => steps);
}

function loadsRules(steps: readonly Step[]): boolean {
  return steps.every(({ kind }) => kind === 'load rules' || kind === 'load guard');
}

/**
 * Joins the end of dnsmasq, its new configuration and its start. The new text is on disk before dnsmasq ends,
 * so that a full disk does not end it; and in place after that, so that an interrupted change is seen as a
 * stopped dnsmasq.
 */
export function replaceConfigurations(groups: readonly Group[]): Group[] {
  const joined: Group[] = [];
  for (const group of groups) {
    const [stop, write] = joined.slice(-2).flatMap(before => before.steps);
    const [start] = group.steps;
    if (stop?.kind === 'stop dnsmasq' && write?.kind === 'write file' && start?.kind === 'start dnsmasq') {
      const run = () => replaceConfiguration(stop, write, start);
      joined.splice(-2, 2, { steps: [stop, write, start], run });
    } else joined.push(group);
  }
  return joined;
}

async function replaceConfiguration(
  stop: StepOf<'stop dnsmasq'>,
  write: StepOf<'write file'>,
  start: StepOf<'start dnsmasq'>,
): Promise<Outcome> {
  let staged: StagedFile;
  try {
    makeDirectory(dirname(write.path));
    staged = stageFile(write.path, write.to);
  } catch (error) {
    return { done: [], failed: [{ step: write, error: error as Error }], skipped: [stop, start] };
  }
  const stopped = await attempt(stop, () => stopDnsmasq(stop.pid, stop.bridge));
  if (stopped.failed.length > 0) {
    staged.discard();
    return { ...stopped, skipped: [write, start] };
  }
  const written = await attempt(write, staged.commit);
  const started = await attempt(start, () => startDnsmasq(start.bridge));
  return [written, started].reduce(joinOutcomes, stopped);
}

function changesOnlyNewLinks(steps: readonly Step[]): boolean {
  const added = steps.flatMap(step =>
    step.kind === 'add bridge' || step.kind === 'add dummy' ? step.link : [],
  );
  return steps.every(step => 'link' in step && added.includes(step.link));
}

export function groupSteps(steps: readonly Step[]): Group[] {
  const groups: Group[] = [];
  let commands: StepCommand[] = [];
  const flush = () => {
    const batch = commands;
    if (batch.length > 0)
      groups.push({ steps: stepsOf(batch), run: onFailure => runBatch(batch, onFailure) });
    commands = [];
  };
  for (const step of steps) {
    const own = ipCommands(step);
    if (own !== null) commands.push(...own.map(command => ({ step, command })));
    else {
      flush();
      groups.push({ steps: [step], run: () => runSingle(step) });
    }
  }
  flush();
  return groups;
}

function ipCommands<Name extends StepName>(step: StepOf<Name>): readonly string[] | null {
  const executor: Executor<Name> = executors[step.kind];
  return executor.kind === 'ip' ? executor.commands(step) : null;
}

interface StepCommand {
  readonly step: Step;
  readonly command: string;
}

function stepsOf(batch: readonly StepCommand[]): Step[] {
  return [...new Set(batch.map(({ step }) => step))];
}

async function runBatch(batch: readonly StepCommand[], onFailure: 'stop' | 'continue'): Promise<Outcome> {
  const steps = stepsOf(batch);
  try {
    const { failed, skipped } = await runIpBatch(
      system,
      batch.map(({ command }) => command),
      onFailure,
    );
    const errorOf = (step: Step) => failed.find(({ index }) => batch[index]?.step === step)?.error;
    const isSkipped = (step: Step) => skipped.some(index => batch[index]?.step === step);
    const withoutError = steps.filter(step => errorOf(step) === undefined);
    return {
      done: withoutError.filter(step => !isSkipped(step)),
      failed: steps.flatMap(step => {
        const error = errorOf(step);
        return error === undefined ? [] : [{ step, error }];
      }),
      skipped: withoutError.filter(isSkipped),
    };
  } catch (error) {
    // ip is missing or hangs: which of the commands took effect is unknown.
    return { done: [], failed: steps.map(step => ({ step, error: error as Error })), skipped: [] };
  }
}

async function runSingle<Name extends StepName>(step: StepOf<Name> & Step): Promise<Outcome> {
  const executor: Executor<Name> = executors[step.kind as Name];
  return attempt(step, () => (executor.kind === 'single' ? executor.run(step) : undefined));
}

async function attempt(step: Step, work: () => Promise<void> | void): Promise<Outcome> {
  try {
    await work();
    return { done: [step], failed: [], skipped: [] };
  } catch (error) {
    return { done: [], failed: [{ step, error: error as Error }], skipped: [] };
  }
}
