// Executes the steps of a plan, and records the rules that were loaded.
import { findDnsmasq } from '../dnsmasq/process.ts';
import { WriteError } from '../errors.ts';
import {
  groupSteps,
  joinOutcomes,
  loadRulesSideBySide,
  type Outcome,
  replaceConfigurations,
} from './executors/step-groups.ts';
import { failureOf, recordDnsmasq } from './record-changes.ts';
import { changesRules, recordRules } from './record-rules.ts';
import { isEssential, type Step } from './steps/steps.ts';

/** The outcome of each step of a plan. */
export interface Applied extends Outcome {
  /** The reasons why rules that were loaded or removed are not in the record. */
  readonly unrecorded: readonly Error[];
}

/**
 * Executes steps in their order, and returns the outcome of each. With `onFailure` 'stop' the steps after the
 * first essential one that fails are skipped; with 'continue' all are tried.
 */
export async function applySteps(steps: readonly Step[], onFailure: 'stop' | 'continue'): Promise<Applied> {
  let applied: Outcome = { done: [], failed: [], skipped: [] };
  for (const group of replaceConfigurations(loadRulesSideBySide(groupSteps(steps)))) {
    const isSkipped = applied.failed.some(({ step }) => isEssential(step)) && onFailure === 'stop';
    const result = isSkipped ? { done: [], failed: [], skipped: group.steps } : await group.run(onFailure);
    applied = joinOutcomes(applied, result);
  }
  const { done, skipped } = applied;
  const failed = [...applied.failed];
  // Only the next comparison needs the listing, so DHCP answers before it is read.
  const loaded = done.filter(changesRules);
  const unrecorded: Error[] = [];
  const recorded = await Promise.allSettled(loaded.map(recordRules));
  for (const [index, result] of recorded.entries()) {
    const step = loaded[index];
    if (result.status === 'fulfilled' || step === undefined) continue;
    if (isWriteFailure(result.reason)) unrecorded.push(result.reason);
    else failed.push({ step, error: result.reason });
  }
  for (const { bridge } of done.filter(step => step.kind === 'start dnsmasq')) {
    const error = failureOf(() => recordDnsmasq(bridge, findDnsmasq(bridge)));
    if (error !== null) unrecorded.push(error);
  }
  const lasting = done.filter(step => !failed.some(each => each.step === step));
  return { done: lasting, failed, skipped, unrecorded };
}

/** Returns whether an error is about a file that cannot be written, such as on a full disk. */
function isWriteFailure(error: unknown): error is WriteError {
  return error instanceof WriteError;
}

/** Returns the outcomes of two plans as one. */
export function joinApplied(first: Applied, second: Applied): Applied {
  return { ...joinOutcomes(first, second), unrecorded: [...first.unrecorded, ...second.unrecorded] };
}
