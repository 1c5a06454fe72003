// Establishes networks: survey, plan, apply, and the way back when a step fails.
import { rmSync } from 'node:fs';
import type { NetworkConfig } from '../config/config.ts';
import { dnsmasqPaths } from '../dnsmasq/paths.ts';
import { messageOf, VirlanError } from '../errors.ts';
import { createRulesReader, type RulesReader } from '../firewall/rules-reader.ts';
import { withLock } from '../system/lock.ts';
import { paths } from '../system/paths.ts';
import { run } from '../system/run.ts';
import { system } from '../system/system.ts';
import { type Applied, applySteps, joinApplied } from './apply.ts';
import type { Established } from './established.ts';
import type { FailedStep } from './executors/step-groups.ts';
import { kernelReplacedText } from './kernel/kernel-text.ts';
import { replacedKernel } from './kernel/read-kernel.ts';
import {
  failureOf,
  recordChanges,
  recordForwardsOf,
  recordOriginal,
  recordWarnings,
  removeRecords,
  wouldLose,
} from './record-changes.ts';
import { recordIsWanted } from './records/applied-record.ts';
import { readLacking, rememberLacking } from './records/lacking.ts';
import { readOriginalState } from './records/original-state.ts';
import { type Refusal, rememberRefusal, withoutRefused, withRefusals } from './refusals.ts';
import { rollBack } from './restore.ts';
import { groupByUnit } from './steps/group-by-unit.ts';
import { isEssential, type Step, type StepOf } from './steps/steps.ts';
import { type OwnSurvey, surveyOwn } from './survey.ts';
import { surveyHost, withConsequences } from './survey-host.ts';
import { libvirtWarnings, surveyHostNames, surveyOtherFirewalls } from './survey-other-programs.ts';
import { obstacleText } from './warnings/obstacle-text.ts';
import { joinWarnings } from './warnings/warnings.ts';

/** Longest wait for another virlan process that changes a network: libvirtd's start waits meanwhile. */
const networkLockTimeoutSeconds = 30;

/** Runs work while no other virlan process changes a network. Throws VirlanError 'lock-timeout'. */
export function withNetworkLock<T>(
  work: () => Promise<T>,
  lockTimeoutSeconds = networkLockTimeoutSeconds,
): Promise<T> {
  return withLock(paths.networkLock, lockTimeoutSeconds, work);
}

/** Selects the steps to take from a plan. */
type Choose = (steps: readonly Step[]) => readonly Step[];

/** A network that could not be established. */
class NotEstablished extends VirlanError {
  static override readonly label = 'NotEstablished';

  /** The step because of which it could not. */
  readonly failed: FailedStep;

  constructor(failed: FailedStep, message: string) {
    super('apply-failed', message, { cause: failed.error });
    this.failed = failed;
  }
}

/**
 * Establishes a network completely, or throws VirlanError and leaves the host as it was, by planning from
 * what is there back to what was there. Another firewall that refuses its part does not count. Needs the
 * network lock.
 */
export async function establish(network: NetworkConfig): Promise<Established> {
  const known = readLacking(network.bridge);
  const refusals: Refusal[] = [];
  let earlier: Established | null = null;
  for (;;) {
    const lacking = refusals.at(-1)?.lacking ?? known;
    try {
      const now = await establishCompletely(network);
      const established: Established = earlier === null ? now : joinEstablished(earlier, now);
      const refused = rememberRefusal(network, lacking, now.failed);
      refusals.push(...refused);
      if (refused.length === 0) return withRefusals(network, established, refusals);
      earlier = withoutRefused(established, refused);
    } catch (error) {
      if (!(error instanceof NotEstablished)) throw error;
      const refused = rememberRefusal(network, lacking, [error.failed]);
      refusals.push(...refused);
      if (refused.length > 0) continue;
      rememberLacking(network.bridge, known);
      const [first] = refusals;
      if (first === undefined) throw error;
      const message = `${first.failed.error.message}; without that, ${error.message}`;
      throw new VirlanError('apply-failed', message, { cause: error });
    }
  }
}

async function establishCompletely(network: NetworkConfig): Promise<Established> {
  const host = surveyHost(network);
  const survey = await surveyOwn(network, createRulesReader(system));
  if (survey.refusal !== null) throw new VirlanError('refused', obstacleText(survey.refusal));
  if (survey.damage !== null) throw survey.damage;
  const steps = [...host.steps, ...survey.steps];
  const rejected = await findRejectedConfiguration(network, steps);
  if (rejected !== null) throw rejected;
  const isFirst = readOriginalState()?.networks[network.bridge] === undefined;
  const before = withConsequences(host);
  const original = recordOriginal(host, survey);
  // Without the record "down" could not restore what is there now.
  if (isFirst && original !== null) throw original;
  const records = recordChanges(host, survey, original);
  const { directory } = dnsmasqPaths(network.bridge);
  const hadDirectory = system.exists(directory);
  const own = await applySteps(steps, 'stop');
  const failure = own.failed.find(({ step }) => isEssential(step));
  if (failure !== undefined) {
    const remaining = await rollBack(before, survey);
    if (isFirst && remaining.length === 0) {
      removeRecords(network.bridge);
      // On a disk that fails it may stay.
      if (!hadDirectory) failureOf(() => rmSync(directory, { recursive: true, force: true }));
    }
    const outcome =
      remaining.length === 0
        ? 'the host is as it was'
        : `restoring the host failed too: ${remaining.map(messageOf).join('; ')}: "virlan down" does it when that works again`;
    const kernel = replacedKernel();
    const reason = kernel === null ? '' : `; ${kernelReplacedText(kernel)}`;
    const message = `${failure.error.message}${reason}; ${outcome}`;
    throw new NotEstablished(failure, message);
  }
  recordIsWanted(network.bridge);
  return establishOthers({ survey, own, records }, createRulesReader(system), planned => planned);
}

/**
 * Establishes as much of a network as works, for hooks and repairs, where half a network is better than none.
 * `choose` selects the steps to take from the plan. Throws VirlanError when the network must not be
 * established. Needs the network lock.
 */
export async function establishTolerantly(network: NetworkConfig, choose: Choose): Promise<Established> {
  const known = readLacking(network.bridge);
  const refusals: Refusal[] = [];
  let established = await tryTolerantly(network, choose);
  for (;;) {
    const lacking = refusals.at(-1)?.lacking ?? known;
    const refused = rememberRefusal(network, lacking, established.failed);
    if (refused.length === 0) break;
    refusals.push(...refused);
    established = joinEstablished(withoutRefused(established, refused), await tryTolerantly(network, choose));
  }
  const isRefused = established.failed.some(({ step }) => step.kind === 'load rules' && isEssential(step));
  if (!isRefused) return withRefusals(network, established, refusals);
  rememberLacking(network.bridge, known);
  return { ...established, failed: [...refusals.map(({ failed }) => failed), ...established.failed] };
}

/** Returns what two attempts did, with the warnings of the second. */
function joinEstablished(first: Established, second: Established): Established {
  return { ...second, ...joinApplied(first, second), refused: [...first.refused, ...second.refused] };
}

async function tryTolerantly(network: NetworkConfig, choose: Choose): Promise<Established> {
  recordIsWanted(network.bridge);
  const host = surveyHost(network);
  const reader = createRulesReader(system);
  const survey = await surveyOwn(network, reader);
  if (survey.refusal !== null) throw new VirlanError('refused', obstacleText(survey.refusal));
  const planned = choose([...host.steps, ...survey.steps]);
  const rejected = await findRejectedConfiguration(network, planned);
  const left = rejected === null ? [] : dnsmasqSteps(network.bridge, planned);
  const steps = planned.filter(step => !left.includes(step));
  const original = recordOriginal(host, survey);
  if (original !== null && wouldLose(survey)) throw original;
  const records = recordChanges(host, survey, original);
  const own = await applySteps(steps, 'continue');
  const currentReader = steps.length === 0 ? reader : createRulesReader(system);
  const established = await establishOthers({ survey, own, records }, currentReader, choose);
  const warnings = [...established.warnings];
  if (survey.damage !== null) warnings.push({ kind: 'reservations-unknown', error: survey.damage });
  if (rejected !== null) warnings.push({ kind: 'dnsmasq-keeps-configuration', error: rejected });
  return { ...established, skipped: [...established.skipped, ...left], warnings };
}

/** The outcome of virlan's own part. `records`: the reasons why records could not be written. */
interface OwnPart {
  readonly survey: OwnSurvey;
  readonly own: Applied;
  readonly records: readonly (Error | null)[];
}

/** Establishes virlan's part in other programs, after its own part. Returns the changes and warnings of both. */
async function establishOthers(
  { survey, own, records }: OwnPart,
  reader: RulesReader,
  choose: Choose,
): Promise<Established> {
  const refused = recordForwardsOf(survey);
  const others = await surveyOtherPrograms(survey.network, reader);
  const applied = joinApplied(own, await applySteps(choose(others.steps), 'continue'));
  const warnings = [
    ...joinWarnings(survey.warnings, others.warnings),
    ...recordWarnings('not-recorded', [...records, ...applied.unrecorded]),
  ];
  return { ...applied, warnings, refused };
}

/**
 * Compares virlan's part in other programs, after its own part: DHCP answers by then, and no other program, which
 * may be slow, delays it.
 */
async function surveyOtherPrograms(
  network: NetworkConfig,
  reader: RulesReader,
): Promise<Pick<Established, 'warnings'> & { readonly steps: readonly Step[] }> {
  const parts = await Promise.all([surveyOtherFirewalls(network, reader), surveyHostNames(network)]);
  return {
    steps: parts.flatMap(({ steps }) => steps),
    warnings: [...parts.flatMap(({ warnings }) => warnings), ...libvirtWarnings(network)],
  };
}

/** Returns the steps of the repair unit of dnsmasq. */
function dnsmasqSteps(bridge: string, steps: readonly Step[]): readonly Step[] {
  return groupByUnit(bridge, steps)
    .filter(({ unit }) => unit.kind === 'dnsmasq')
    .flatMap(group => group.steps);
}

/**
 * Returns why a running dnsmasq must not be restarted with the planned configuration: with an error in an
 * option of the administrator's it would not start again, nor with the old configuration, which reads the
 * same options.
 */
async function findRejectedConfiguration(
  { bridge }: NetworkConfig,
  steps: readonly Step[],
): Promise<Error | null> {
  const isRestart = steps.some(step => step.kind === 'stop dnsmasq');
  const written = steps.find(
    (step): step is StepOf<'write file'> =>
      step.kind === 'write file' && step.path === dnsmasqPaths(bridge).conf,
  );
  if (!isRestart || written === undefined) return null;
  try {
    await run('dnsmasq', ['--test', '--conf-file=-'], { input: written.to });
    return null;
  } catch (cause) {
    const message = `dnsmasq keeps its old configuration: ${messageOf(cause)}`;
    return new VirlanError('rejected-configuration', message, { cause });
  }
}
