// The names of the links that virlan makes for a network beside the bridge. Pure.
import { linkMac } from '../../identity/formula.ts';

/** Returns `BRIDGE-nic`, or a shorter name where that is too long. */
export function dummyName(bridge: string): string {
  return linkName(bridge, 'nic');
}

/** Returns the name of the link to the other hosts: `BRIDGE-vx`, or a shorter one where that is too long. */
export function tunnelName(bridge: string): string {
  return linkName(bridge, 'vx');
}

/** A name has at most 15 bytes (IFNAMSIZ). */
function linkName(bridge: string, suffix: string): string {
  const plain = `${bridge}-${suffix}`;
  return plain.length <= 15
    ? plain
    : `${bridge.slice(0, 4)}-${linkMac('nic', '', bridge).slice(9).replaceAll(':', '')}-${suffix}`;
}
