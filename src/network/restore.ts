// Restores what was there before: when a network is taken down, and after a step that failed.
import type { Mac } from '../address/mac.ts';
import { dnsmasqPaths } from '../dnsmasq/paths.ts';
import { findDnsmasq } from '../dnsmasq/process.ts';
import { VirlanError } from '../errors.ts';
import { linkMac } from '../identity/formula.ts';
import { leaseStatusPath } from '../libvirt/lease-status.ts';
import { macMapPath } from '../libvirt/mac-map.ts';
import { removeFile } from '../system/files.ts';
import { machineId } from '../system/machine-id.ts';
import { system } from '../system/system.ts';
import { type Applied, applySteps, joinApplied } from './apply.ts';
import { absentNetwork, asDesired } from './desired.ts';
import type { Established } from './established.ts';
import { ipForward } from './kernel/sysctl.ts';
import { withoutOwn, withoutOwnSettings } from './own-marks.ts';
import { failureOf, recordWarnings, removeRecords } from './record-changes.ts';
import { isTakenDown, recordIsDown, recordIsWanted } from './records/applied-record.ts';
import { removeMadeObjects } from './records/made-tables.ts';
import {
  bootId,
  type OriginalNetwork,
  type OriginalState,
  originalHost,
  readOriginalState,
} from './records/original-state.ts';
import { dummyName } from './state/link-names.ts';
import type { DesiredNetwork, HostState } from './state/state.ts';
import { isEssential } from './steps/steps.ts';
import { type OwnSurvey, surveyAgainst } from './survey.ts';
import { readHost, surveyRestoration } from './survey-host.ts';
import { surveyHostNamesRemoval, surveyOtherRemovals } from './survey-other-programs.ts';
import { joinWarnings, type NetworkWarning, unreadRulesWarnings } from './warnings/warnings.ts';

/**
 * Says what follows where it cannot be recorded that a network has to stay down: a watcher that follows the network
 * would make it again (`refuse`), and without one it is down until a hook makes it (`warn`).
 */
export type Unmarked = 'refuse' | 'warn';

/**
 * Takes a network down and restores what was there before it. Throws WriteError before any change if `unmarked` says
 * so, and VirlanError when a step fails; another firewall that refuses its part does not count. Needs the network lock.
 */
export async function takeDown(name: string, bridge: string, unmarked: Unmarked): Promise<Established> {
  const wasDown = isTakenDown(bridge);
  // First, so that no watcher repairs what is being removed.
  const notMarked = wasDown ? null : failureOf(() => recordIsDown(bridge));
  if (notMarked !== null && unmarked === 'refuse') throw notMarked;
  try {
    const removed = await removeNetwork(name, bridge);
    return { ...removed, warnings: [...removed.warnings, ...recordWarnings('record-left', [notMarked])] };
  } catch (error) {
    if (!wasDown) failureOf(() => recordIsWanted(bridge));
    throw error;
  }
}

async function removeNetwork(name: string, bridge: string): Promise<Established> {
  const removals = await surveyOtherRemovals(bridge);
  const forgetting = await surveyHostNamesRemoval(bridge);
  const others = await applySteps([...forgetting, ...removals.steps], 'continue');
  const own = await restoreOriginal(name, bridge);
  const madeObjects = await removeMadeObjects().then(
    () => null,
    (error: Error) => error,
  );
  const failure = own.failed.find(({ step }) => isEssential(step));
  if (failure !== undefined) {
    const messages = [...own.failed, ...others.failed].map(({ error }) => error.message);
    throw new VirlanError('apply-failed', messages.join('; '), { cause: failure.error });
  }
  // dnsmasq leaves its pid file when it is killed.
  const pidFile = findDnsmasq(bridge) === null ? [dnsmasqPaths(bridge).pid] : [];
  const left = [leaseStatusPath(bridge), macMapPath(bridge), ...pidFile].map(path =>
    failureOf(() => removeFile(path)),
  );
  const all = joinApplied(others, own);
  const unrecorded = [...all.unrecorded, madeObjects, ...left, ...removeRecords(bridge)];
  const warnings = [
    ...joinWarnings(own.warnings, removals.warnings),
    ...recordWarnings('record-left', unrecorded),
  ];
  return { ...all, warnings, refused: [] };
}

async function restoreOriginal(
  name: string,
  bridge: string,
): Promise<Applied & { readonly warnings: readonly NetworkWarning[] }> {
  const original = readOriginalState();
  const { steps, unread } = await surveyAgainst(
    await originalNetwork(name, bridge, original?.networks[bridge]),
  );
  const network = await applySteps(steps, 'continue');
  const goal = hostGoal(bridge, original);
  if (goal === null) return { ...network, warnings: unreadRulesWarnings(unread) };
  const restored = joinApplied(network, await restoreHost(goal, 'continue'));
  const isUnknown = !goal.sysctls.has(ipForward) && readHost().sysctls.get(ipForward) === '1';
  const unknown = restored.done.length > 0 && isUnknown ? [{ kind: 'forwarding-stays' } as const] : [];
  return { ...restored, warnings: [...unreadRulesWarnings(unread), ...unknown] };
}

/** Returns the settings that the host had before virlan, as far as they are known; null while it needs virlan's. */
function hostGoal(bridge: string, original: OriginalState | null): HostState | null {
  const isOther = (other: string) => other !== bridge;
  if (original !== null) return Object.keys(original.networks).some(isOther) ? null : originalHost(original);
  const links = system.listDirectory('/sys/class/net').filter(isOther);
  return links.some(isOwnBridge) ? null : withoutOwnSettings(readHost(), true);
}

/** Returns whether a link is a bridge of virlan's. A dummy NIC tells where several hosts have the bridge's MAC. */
function isOwnBridge(link: string): boolean {
  const id = machineId();
  const hasMac = (name: string, mac: Mac) =>
    system.readFile(`/sys/class/net/${name}/address`)?.trim() === mac;
  return hasMac(link, linkMac('bridge', id, link)) || hasMac(dummyName(link), linkMac('nic', id, link));
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
    // virlan never changed an object without its marks, so it leaves it there.
    const { observed } = await surveyAgainst(absent, []);
    const { link, dummy, dnsmasq } = withoutOwn(observed, { name, bridge, machineId: machineId() });
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
    const { steps, unread } = await surveyAgainst(goal);
    failures.push(...unread.map(({ error }) => error));
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
