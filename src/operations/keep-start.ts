// Keeps what the start of a machine has changed of its reservations.
import { startedNics } from '../identity/failed-start.ts';
import type { Reserved } from '../identity/reserve.ts';
import { removeStartedNics, writeStartedNics } from '../identity/started-nics.ts';

/** Keeps it in place of what an earlier start has changed, until the machine has stopped. */
export function keepStart(uuid: string, reserved: readonly Reserved[]): void {
  try {
    removeStartedNics(uuid);
    const nics = reserved.flatMap(startedNics);
    if (nics.length > 0) writeStartedNics(uuid, nics);
  } catch {
    // Nothing is written on a full disk: the start counts as a boot, whether it fails or not.
  }
}
