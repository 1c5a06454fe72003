// Compares the settings of the host as a whole with what is desired. Changes nothing.
import { paths } from '../system/paths.ts';
import { system } from '../system/system.ts';
import { desiredHost } from './desired.ts';
import { planHost } from './plan.ts';
import type { HostState } from './state.ts';
import type { Step } from './steps.ts';
import { forwardingConsequences, readSysctls, sysctlPath } from './sysctl.ts';

export interface HostSurvey {
  readonly observed: HostState;
  readonly steps: readonly Step[];
}

/**
 * Compares the host as a whole with what it needs while a network is up, or with a state of the caller's
 * choice.
 */
export function surveyHost(desired: HostState = desiredHost()): HostSurvey {
  const observed: HostState = {
    sysctls: readSysctls(desired.sysctls.keys(), system.readFile),
    sysctlFile: system.readFile(paths.sysctl),
  };
  return { observed, steps: planHost(desired, observed, paths.sysctl) };
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
  return [(key: string) => written.has(key), (key: string) => system.exists(sysctlPath(key))].map(
    isRestored => () => {
      const sysctls = new Map([...goal.sysctls].filter(([key]) => isRestored(key)));
      return surveyHost({ ...goal, sysctls }).steps;
    },
  );
}

/** Has a directory for each link, `all` and `default`. */
const linkSysctls = '/proc/sys/net/ipv4/conf';
