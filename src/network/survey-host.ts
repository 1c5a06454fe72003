// Compares the settings of the host as a whole with what is desired. Changes nothing.
import type { NetworkConfig } from '../config/config.ts';
import { paths } from '../system/paths.ts';
import { system } from '../system/system.ts';
import { readIfReadable } from '../system/unreadable-files.ts';
import { desiredHost } from './desired.ts';
import {
  changesOfForwarding,
  forwardingConsequences,
  ipForward,
  readSysctls,
  sysctlPath,
} from './kernel/sysctl.ts';
import { planHost } from './plan.ts';
import { originalHost, readOriginalState } from './records/original-state.ts';
import type { HostState } from './state/state.ts';
import type { Step } from './steps/steps.ts';

export interface HostSurvey {
  readonly observed: HostState;
  readonly steps: readonly Step[];
}

/**
 * Compares the host as a whole with what the networks of a configuration need. Throws VirlanError for a
 * damaged record of the host's original state.
 */
export function surveyHost({ hostForwards }: Pick<NetworkConfig, 'hostForwards'>): HostSurvey {
  return hostForwards ? surveyHostAgainst(desiredHost()) : surveyWithoutForwarding();
}

/** Compares the host as a whole with a state of the caller's choice. */
function surveyHostAgainst(desired: HostState): HostSurvey {
  const observed = observeHost(desired);
  return { observed, steps: planHost(desired, observed, paths.sysctl) };
}

function observeHost(desired: HostState): HostState {
  return {
    sysctls: readSysctls([...desiredHost().sysctls.keys(), ...desired.sysctls.keys()], system.readFile),
    sysctlFile: readIfReadable(paths.sysctl),
  };
}

/** Returns what the host has of the settings that virlan writes. */
export function readHost(): HostState {
  return observeHost(desiredHost());
}

/**
 * Plans to restore, once, the forwarding that networks needed before. virlan's file says that they did;
 * without it, forwarding is left as others want it.
 */
function surveyWithoutForwarding(): HostSurvey {
  const none: HostState = { sysctls: new Map(), sysctlFile: readIfReadable(paths.sysctl) };
  const original = none.sysctlFile === desiredHost().sysctlFile ? readOriginalState() : null;
  const goal = original === null ? none : originalHost(original);
  const observed = observeHost(goal);
  const switchesOff = goal.sysctls.get(ipForward) === '0' && observed.sysctls.get(ipForward) === '1';
  // Changes that the kernel makes as a consequence are restored after it.
  const sysctls = switchesOff
    ? new Map([...observed.sysctls, ...changesOfForwarding(system.listDirectory(linkSysctls), false)])
    : observed.sysctls;
  return { observed, steps: planHost(goal, { ...observed, sysctls }, paths.sysctl) };
}

/**
 * Returns the settings of the host, before steps of its survey are taken, with those that the kernel changes
 * as a consequence.
 */
export function withConsequences({ observed, steps }: HostSurvey): HostState {
  if (!steps.some(({ kind }) => kind === 'set sysctl')) return observed;
  const keys = forwardingConsequences(system.listDirectory(linkSysctls));
  return { ...observed, sysctls: new Map([...observed.sysctls, ...readSysctls(keys, system.readFile)]) };
}

/**
 * Returns the two plans that restore settings of the host, the second to be made after the first is carried
 * out: one restores what virlan wrote, one what the kernel changed as a consequence. Links that no longer
 * exist have no settings.
 */
export function surveyRestoration(goal: HostState): (() => readonly Step[])[] {
  const written = desiredHost().sysctls;
  const only = (isRestored: (key: string) => boolean) =>
    new Map([...goal.sysctls].filter(([key]) => isRestored(key)));
  return [
    () => surveyHostAgainst({ ...goal, sysctls: only(key => written.has(key)) }).steps,
    () => {
      const sysctls = only(key => system.exists(sysctlPath(key)));
      // Its file is in the first plan.
      return surveyHostAgainst({ sysctls, sysctlFile: readIfReadable(paths.sysctl) }).steps;
    },
  ];
}

/** Has a directory for each link, `all` and `default`. */
const linkSysctls = '/proc/sys/net/ipv4/conf';
