// Changes the forwards of a network by themselves, as machines start, change and stop: no survey, and one
// transaction for what changes.
import { isDeepStrictEqual } from 'node:util';
import type { NetworkConfig } from '../config/config.ts';
import { availableBackends, chooseBackend } from '../firewall/backends.ts';
import { compareTranslations } from '../firewall/translation.ts';
import { translationsOfClaims } from '../forwards/choose.ts';
import { type RefusedForward, refusalKey } from '../forwards/problem.ts';
import { type ForwardsChange, readForwards, recordForwards } from '../forwards/read.ts';
import { system } from '../system/system.ts';
import { type Applied, applySteps } from './apply.ts';
import { isTakenDown, readApplied } from './records/applied-record.ts';
import { readLacking } from './records/lacking.ts';

/** The outcome of a change of forwards, and the refusals that were not there before. */
export interface ChangedForwards extends Applied {
  readonly refused: readonly RefusedForward[];
}

/** Returns whether the forwards of a network are not those that the record has. */
export function areForwardsDue(network: NetworkConfig): boolean {
  const { claims, refused, booting, record } = readForwards(network);
  return !isDeepStrictEqual(record, { claims, booting, refused: refused.map(refusalKey) });
}

/**
 * Brings the forwards of a network that is established from what the record has to what they are to be. What
 * others changed in the kernel is for a survey to find. Null if nothing was to be done. Needs the network
 * lock.
 */
export async function changeForwards(
  network: NetworkConfig,
  change: ForwardsChange | null,
): Promise<ChangedForwards | null> {
  const { bridge } = network;
  if (isTakenDown(bridge) || readApplied(bridge).rules.length === 0) return null;
  const reading = readForwards(network, change);
  const difference = compareTranslations(
    translationsOfClaims(reading.claims),
    translationsOfClaims(reading.record.claims),
  );
  // Before the kernel: a process that is killed in between leaves a difference that a survey finds.
  const refused = recordForwards(bridge, reading);
  if (difference.missing.length + difference.stale.length === 0)
    return { done: [], failed: [], skipped: [], unrecorded: [], refused };
  const { chosen: backend } = chooseBackend(
    network,
    availableBackends(system.isInstalled),
    readLacking(bridge),
  );
  const applied = await applySteps([{ kind: 'change forwards', backend, bridge, ...difference }], 'continue');
  return { ...applied, refused };
}
