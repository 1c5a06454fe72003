import { rmSync } from 'node:fs';
import type { NetworkConfig } from '../config/config.ts';
import { dnsmasqPaths } from '../dnsmasq/conf.ts';
import { withLock } from '../system/lock.ts';
import { libvirtPaths, paths } from '../system/paths.ts';
import { run } from '../system/run.ts';
import { forgetApplied, readApplied, writeApplied } from './applied-record.ts';
import { applySteps, applyWhatWorks } from './apply.ts';
import { absentNetwork, asDesired } from './desired.ts';
import {
  bootId,
  forgetBefore,
  hostBefore,
  type NetworkBefore,
  readBefore,
  recordBefore,
} from './original-state.ts';
import { formatAddress, isForeign, type Step } from './plan.ts';
import { dnsmasqOf, thingsOf } from './repair-units.ts';
import type { DesiredNetwork } from './state.ts';
import {
  type HostSurvey,
  type Survey,
  surveyAgainst,
  surveyHost,
  surveyNetwork,
  surveyWhatCanBeRead,
} from './survey.ts';

/** How long one virlan waits for another to be done with the network, in seconds: libvirtd's start waits meanwhile. */
const patience = 30;

/** What establishing a network, or taking it down, did: the steps carried out, and what failed without stopping it. */
export interface Established {
  readonly steps: readonly Step[];
  readonly warnings: readonly string[];
}

/** Runs while no other virlan changes the network. */
export function withNetworkLock<T>(work: () => Promise<T>): Promise<T> {
  return withLock(paths.networkLock, patience, work);
}

/**
 * Establishes a network, or throws and leaves the host as it was: what had been done by then is undone by planning from
 * what is there back to what was there. Another firewall that refuses its part is a warning. To be called with the
 * network lock.
 */
export async function establish(network: NetworkConfig): Promise<Established> {
  const host = surveyHost();
  const survey = await surveyNetwork(network);
  if (survey.refusal !== null) throw new Error(survey.refusal);
  const steps = [...host.steps, ...survey.steps];
  const refusal = await refusedByDnsmasq(network, steps);
  if (refusal !== null) throw new Error(refusal);
  if (steps.length > 0) {
    const isFirst = readBefore()?.networks[network.bridge] === undefined;
    record(host, survey);
    try {
      await applySteps(steps.filter(step => !isForeign(step)));
    } catch (error) {
      const left = await rollBack(host, survey);
      if (isFirst && left.length === 0) forgetRecords(network.bridge);
      const outcome =
        left.length === 0
          ? 'the host is as it was'
          : `putting the host back failed too: ${left.join('; ')}: "virlan down" does it when that works again`;
      throw new Error(`${(error as Error).message}; ${outcome}`);
    }
  }
  const failures = await applyWhatWorks(steps.filter(isForeign));
  return { steps, warnings: [...survey.conflicts, ...survey.obstacles, ...messages(failures)] };
}

/**
 * As `establish`, for a hook: keeps what works when something does not. `choose` gets the plan and gives what of it is
 * to be done.
 */
export async function establishWhatWorks(
  network: NetworkConfig,
  choose = (steps: readonly Step[]): readonly Step[] => steps,
): Promise<Established> {
  const host = surveyHost();
  const survey = await surveyWhatCanBeRead(network);
  if (survey.refusal !== null) throw new Error(survey.refusal);
  const planned = choose([...host.steps, ...survey.steps]);
  const refusal = await refusedByDnsmasq(network, planned);
  const service =
    refusal === null ? [] : (thingsOf(network.bridge, planned).get(dnsmasqOf(network.bridge)) ?? []);
  const steps = planned.filter(step => !service.includes(step));
  if (steps.length > 0) record(host, survey);
  const failures = await applyWhatWorks(steps);
  const troubles = [survey.damage, refusal].filter(trouble => trouble !== null);
  return {
    steps,
    warnings: [...survey.conflicts, ...survey.obstacles, ...troubles, ...messages(failures)],
  };
}

function messages(failures: readonly Error[]): string[] {
  return failures.map(failure => failure.message);
}

/**
 * Why a dnsmasq that runs must not be restarted with the configuration that is planned: with a slip in an option of the
 * user's own it would not come back, nor with the old configuration, which reads the same options.
 */
async function refusedByDnsmasq({ bridge }: NetworkConfig, steps: readonly Step[]): Promise<string | null> {
  const isRestart = steps.some(step => step.do === 'stop dnsmasq');
  const written = steps.find(step => step.do === 'write file' && step.path === dnsmasqPaths(bridge).conf);
  if (!isRestart || written?.do !== 'write file') return null;
  try {
    await run('dnsmasq', ['--test', '--conf-file=-'], written.to);
    return null;
  } catch (error) {
    return `dnsmasq goes on with its old configuration: ${(error as Error).message}`;
  }
}

/**
 * Takes a network down and puts back what was there before it. Another firewall that does not let go of its part is a
 * warning. To be called with the network lock.
 */
export async function takeDown(name: string, bridge: string): Promise<Established> {
  const { steps, warnings } = await planTakeDown(name, bridge);
  const refused = await applyWhatWorks(steps.filter(isForeign));
  const failures = await applyWhatWorks(steps.filter(step => !isForeign(step)));
  if (failures.length > 0) throw new Error([...messages(failures), ...messages(refused)].join('; '));
  for (const published of ['status', 'macs'])
    rmSync(`${libvirtPaths.leaseStatus}/${bridge}.${published}`, { force: true });
  forgetRecords(bridge);
  return { steps, warnings: [...warnings, ...messages(refused)] };
}

function forgetRecords(bridge: string): void {
  forgetApplied(bridge);
  forgetBefore(bridge);
}

async function planTakeDown(name: string, bridge: string): Promise<Established> {
  const before = readBefore();
  const network = before?.networks[bridge];
  const { steps, unread } = await surveyAgainst(await wantedBack(name, bridge, network));
  const isLast = before !== null && Object.keys(before.networks).every(other => other === bridge);
  const hostSteps = isLast ? surveyHost(hostBefore(before)).steps : [];
  return { steps: [...steps, ...hostSteps], warnings: unread };
}

/** What is to be there when virlan is gone from a bridge. */
async function wantedBack(
  name: string,
  bridge: string,
  before: NetworkBefore | undefined,
): Promise<DesiredNetwork> {
  const absent = absentNetwork(name, bridge);
  if (before === undefined) {
    // What virlan never touched is not virlan's to remove.
    const { link, nic, dnsmasq } = (await surveyAgainst(absent)).observed;
    const { conf, pid } = dnsmasq;
    return {
      ...absent,
      link,
      nic: { name: absent.nic.name, state: nic },
      dnsmasq: { conf, runs: pid !== null },
    };
  }
  const { conf, running } = before.dnsmasq;
  if (before.boot !== bootId()) return { ...absent, dnsmasq: { conf, runs: false } };
  return {
    ...absent,
    link: before.link,
    nic: { name: absent.nic.name, state: before.nic },
    sysctls: new Map(Object.entries(before.sysctls)),
    dnsmasq: { conf, runs: running },
  };
}

function record(host: HostSurvey, { network, desired, observed }: Survey): void {
  recordBefore(host.observed, network.bridge, {
    name: network.name,
    boot: bootId(),
    link: observed.link,
    nic: observed.nic,
    sysctls: observed.link === null ? {} : Object.fromEntries(observed.sysctls),
    dnsmasq: { conf: observed.dnsmasq.conf, running: observed.dnsmasq.pid !== null },
  });
  const applied = readApplied(network.bridge);
  const addresses = (desired.link?.addresses ?? []).map(formatAddress);
  writeApplied(network.bridge, { ...applied, addresses: [...new Set([...applied.addresses, ...addresses])] });
}

/** Puts back what was observed before, the host's part also where the network's fails; gives what failed, each a line. */
async function rollBack(host: HostSurvey, { desired, observed }: Survey): Promise<string[]> {
  const parts = [
    async () => applySteps((await surveyAgainst(asDesired(desired, observed))).steps),
    () => applySteps(surveyHost(host.observed).steps),
  ];
  const failures: string[] = [];
  for (const putBack of parts) await putBack().catch((error: Error) => failures.push(error.message));
  return failures;
}
