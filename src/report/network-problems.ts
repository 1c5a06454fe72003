// Finds the problems that `virlan status` lists under a network. Pure.

import type { Lacking } from '../firewall/backend.ts';
import type { DesiredNetwork, ObservedNetwork } from '../network/state/state.ts';
import type { Step } from '../network/steps/steps.ts';
import type { NetworkWarning } from '../network/warnings/warnings.ts';
import type { NetworkProblem } from './status.ts';

export interface ProblemSources {
  readonly desired: Pick<DesiredNetwork, 'dummy' | 'rules'>;
  readonly observed: Pick<ObservedNetwork, 'link'>;
  /** The parts of the rules that the kernel has refused to load. */
  readonly lacking: readonly Lacking[];
  /** Steps of the network, and of the host as a whole, that are pending. */
  readonly steps: readonly Step[];
  readonly hostSteps: readonly Step[];
  readonly warnings: readonly NetworkWarning[];
  /** True if virlan has established the network before. */
  readonly isKnown: boolean;
}

/** Returns the problems, the most severe first. A network that was never established has only obstacles. */
export function findProblems(sources: ProblemSources): NetworkProblem[] {
  const { desired, observed, lacking, steps, hostSteps, warnings, isKnown } = sources;
  const obstacles = warnings.filter(isObstacle).map(asProblem);
  const isOthers = warnings.some(({ kind }) => kind === 'bridge-is-uplink' || kind === 'bridge-of-libvirt');
  if ((observed.link === null || isOthers) && !isKnown) return [...obstacles, { kind: 'not-established' }];
  const pending = [...hostSteps, ...steps];
  const { rules } = desired;
  const lacksChecksum = rules.length > 0 && rules.every(({ backend }) => backend !== 'iptables');
  return [
    ...obstacles,
    ...(pending.length === 0 ? [] : [{ kind: 'drift', steps: pending } as const]),
    ...warnings.filter(warning => !isObstacle(warning)).map(asProblem),
    ...(desired.dummy.state === null ? [{ kind: 'no-dummy' } as const] : []),
    ...(lacking.includes('checksum')
      ? [{ kind: 'checksum-refused' } as const]
      : lacksChecksum
        ? [{ kind: 'no-checksum' } as const]
        : []),
    ...(lacking.includes('connection-limit') ? [{ kind: 'connection-limit-refused' } as const] : []),
    ...(lacking.includes('clamp-mss') ? [{ kind: 'clamp-mss-refused' } as const] : []),
    ...(lacking.includes('security') ? [{ kind: 'security-refused' } as const] : []),
  ];
}

function isObstacle({ kind }: NetworkWarning): boolean {
  return kind === 'conflict' || kind === 'bridge-is-uplink' || kind === 'bridge-of-libvirt';
}

function asProblem(warning: NetworkWarning): NetworkProblem {
  return { kind: 'warning', warning };
}
