// Restores what was there before: when a network is taken down, and after a step that failed.
import { rmSync } from 'node:fs';
import { dnsmasqPaths } from '../dnsmasq/paths.ts';
import { findDnsmasq } from '../dnsmasq/process.ts';
import { VirlanError } from '../errors.ts';
import { leaseStatusPath } from '../libvirt/lease-status.ts';
import { macMapPath } from '../libvirt/mac-map.ts';
import { recordIsDown } from './applied-record.ts';
import { type Applied, applySteps, joinApplied } from './apply.ts';
import { absentNetwork, asDesired } from './desired.ts';
import type { Established } from './established.ts';
import { removeMadeObjects } from './made-tables.ts';
import { bootId, type OriginalNetwork, originalHost, readOriginalState } from './original-state.ts';
import { failureOf, recordWarnings, removeRecords } from './record-changes.ts';
import type { DesiredNetwork, HostState } from './state.ts';
import { isEssential } from './steps.ts';
import { type OwnSurvey, surveyAgainst } from './survey.ts';
import { surveyRestoration } from './survey-host.ts';
import { surveyHostNamesRemoval, surveyOtherRemovals } from './survey-other-programs.ts';

/**
 * Takes a network down and restores what was there before it. Throws VirlanError when a step fails; another
 * firewall that refuses its part does not count. Needs the network lock.
 */
export async function takeDown(name: string, bridge: string): Promise<Established> {
  const removals = await surveyOtherRemovals(bridge);
  const forgetting = await surveyHostNamesRemoval(bridge);
  const others = await applySteps([...forgetting, ...removals.steps], 'continue');
  const own = await restoreOriginal(name, bridge);
  await removeMadeObjects();
  const failure = own.failed.find(({ step }) => isEssential(step));
  if (failure !== undefined) {
    const messages = [...own.failed, ...others.failed].map(({ error }) => error.message);
    throw new VirlanError('apply-failed', messages.join('; '), { cause: failure.error });
  }
  // dnsmasq leaves its pid file when it is killed.
  const pidFile = findDnsmasq(bridge) === null ? [dnsmasqPaths(bridge).pid] : [];
  for (const left of [leaseStatusPath(bridge), macMapPath(bridge), ...pidFile]) rmSync(left, { force: true });
  const all = joinApplied(others, own);
  const unrecorded = [...all.unrecorded, failureOf(() => recordIsDown(bridge)), ...removeRecords(bridge)];
  return { ...all, warnings: [...removals.warnings, ...recordWarnings(unrecorded)], refused: [] };
}

async function restoreOriginal(name: string, bridge: string): Promise<Applied> {
  const original = readOriginalState();
  const goal = await originalNetwork(name, bridge, original?.networks[bridge]);
  const network = await applySteps((await surveyAgainst(goal)).steps, 'continue');
  const isLast = original !== null && Object.keys(original.networks).every(other => other === bridge);
  return isLast ? joinApplied(network, await restoreHost(originalHost(original), 'continue')) : network;
}

async function restoreHost(goal: HostState, onFailure: 'stop' | 'continue'): Promise<Applied> {
  let applied: Applied = { done: [], failed: [], skipped: [], unrecorded: [] };
  for (const plan of surveyRestoration(goal))
    applied = joinApplied(applied, await applySteps(plan(), onFailure));
  return applied;
}

/** Returns what is to exist once virlan has left a bridge. */
async function originalNetwork(
  name: string,
  bridge: string,
  original: OriginalNetwork | undefined,
): Promise<DesiredNetwork> {
  const absent = absentNetwork(name, bridge);
  if (original === undefined) {
    // virlan never changed this bridge, so it removes nothing of it.
    const { link, dummy, dnsmasq } = (await surveyAgainst(absent)).observed;
    const { conf, pid } = dnsmasq;
    return {
      ...absent,
      link,
      dummy: { name: absent.dummy.name, state: dummy },
      dnsmasq: { conf, runs: pid !== null },
    };
  }
  const { conf, running } = original.dnsmasq;
  if (original.boot !== bootId()) return { ...absent, dnsmasq: { conf, runs: false } };
  return {
    ...absent,
    link: original.link,
    dummy: { name: absent.dummy.name, state: original.dummy },
    sysctls: new Map(Object.entries(original.sysctls)),
    // Without its configuration it cannot be started again.
    dnsmasq: { conf, runs: running && conf !== null },
  };
}

/** Restores what was observed before, the host's part also when the network's fails. Returns what failed. */
export async function rollBack(host: HostState, { desired, observed }: OwnSurvey): Promise<Error[]> {
  const failures: Error[] = [];
  const goal = asDesired(desired, observed);
  const restoreNetwork = async () => {
    // A firewall program that hangs keeps nothing else from being restored.
    const { steps } = await surveyAgainst(goal).catch((error: Error) => {
      failures.push(error);
      return surveyAgainst(goal, []);
    });
    return applySteps(steps, 'stop');
  };
  for (const restore of [restoreNetwork, () => restoreHost(host, 'stop')]) {
    await restore().then(
      ({ failed }) => failures.push(...failed.map(({ error }) => error)),
      (error: Error) => failures.push(error),
    );
  }
  await removeMadeObjects();
  return failures;
}
