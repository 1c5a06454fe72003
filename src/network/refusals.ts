// Rules that the kernel refuses: remembers them, so that a network is established without them.
import type { NetworkConfig } from '../config/config.ts';
import type { Lacking } from '../firewall/backend.ts';
import { availableBackends, isTemporary, nextLacking } from '../firewall/backends.ts';
import { system } from '../system/system.ts';
import type { Applied } from './apply.ts';
import type { FailedStep } from './executors/step-groups.ts';
import { readLacking, rememberLacking } from './records/lacking.ts';
import type { NetworkWarning } from './warnings/warnings.ts';

type Outcome = Applied & { readonly warnings: readonly NetworkWarning[] };

/** Rules that the kernel refused, and the part that a network can be established without. */
export interface Refusal {
  readonly part: Lacking;
  /** All that the kernel lacks, this part included. */
  readonly lacking: readonly Lacking[];
  readonly failed: FailedStep;
}

/** Remembers what the kernel refused, if a network can be established without it. Returns it, or nothing. */
export function rememberRefusal(
  network: NetworkConfig,
  known: readonly Lacking[],
  failed: readonly FailedStep[],
): Refusal[] {
  for (const each of failed) {
    const next = lackingAfter(network, known, each);
    const part = next?.find(name => !known.includes(name));
    if (next === null || part === undefined) continue;
    rememberLacking(network.bridge, next);
    return [{ part, lacking: next, failed: each }];
  }
  return [];
}

/** Returns what the kernel lacks after it refused a step; null where nothing is left to be done without. */
function lackingAfter(
  network: NetworkConfig,
  known: readonly Lacking[],
  { step, error }: FailedStep,
): readonly Lacking[] | null {
  if (step.kind === 'load rules')
    return nextLacking(network, availableBackends(system.isInstalled), known, { ...step, error });
  if (step.kind !== 'load guard' || step.isPresent || isTemporary(error)) return null;
  return known.includes('connection-limit')
    ? [...known.filter(name => name !== 'connection-limit'), 'guard']
    : [...known, 'connection-limit'];
}

/** Returns the outcome with the refusals that lasted as warnings, in place of failures. */
export function withRefusals<T extends Outcome>(
  { bridge }: NetworkConfig,
  established: T,
  refusals: readonly Refusal[],
): T {
  const lasting = readLacking(bridge);
  const { warnings, ...outcome } = withoutRefused(established, refusals);
  // A part may be tried alone, and again together with others.
  const latest = new Map(refusals.map(refusal => [refusal.part, refusal]));
  const added = [...latest.values()]
    .filter(({ part }) => lasting.includes(part))
    .map(({ part, failed: { error } }) => ({ kind: 'rules-refused', part, error }) as const);
  return { ...established, ...outcome, warnings: [...warnings, ...added] };
}

/** Returns the outcome without the failures that are refusals. */
export function withoutRefused<T extends Outcome>(established: T, refusals: readonly Refusal[]): T {
  const { failed } = established;
  return { ...established, failed: failed.filter(each => !refusals.some(other => other.failed === each)) };
}
