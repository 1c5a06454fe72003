// The words for the tap of a machine that is in another bridge than libvirt has put it into. Pure.
import { shellQuoted } from '../../text.ts';

/** Returns the command that puts a tap back, by virlan: with its options, which a port without a bridge keeps. */
export function otherBridgeRemedy(tap: string): string {
  return `ip link set dev ${shellQuoted(tap)} nomaster && virlan up`;
}
