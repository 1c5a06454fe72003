// Reads what follows from br_netfilter: it hands frames on a bridge to the rules of IPv4. A forward that leads back to
// its own machine is then translated between ports, and a bridge sends nothing back to the port that it came from
// unless the port reflects.
import { system } from '../../system/system.ts';
import { readApplied } from '../records/applied-record.ts';
import type { DesiredTap } from '../state/state.ts';
import type { Link } from './links.ts';

/** Returns whether br_netfilter hands frames on a bridge to the rules of IPv4. */
export function filtersFrames(bridge: string): boolean {
  return [
    '/proc/sys/net/bridge/bridge-nf-call-iptables',
    `/sys/class/net/${bridge}/bridge/nf_call_iptables`,
  ].some(path => system.readFile(path)?.trim() === '1');
}

/** Returns the taps that virlan lets reflect, without those that somebody else does. */
export function reflectingTaps(
  bridge: string,
  taps: readonly DesiredTap[],
  links: readonly Pick<Link, 'name' | 'port'>[],
): string[] {
  const { reflecting } = readApplied(bridge);
  const isOn = (tap: string) => links.find(({ name }) => name === tap)?.port?.options.hairpin === true;
  return taps.flatMap(({ name, hairpin }) =>
    hairpin === 'on' && (reflecting.includes(name) || !isOn(name)) ? [name] : [],
  );
}
