// Finds MACs that more than one machine has.
import type { Mac } from '../../address/mac.ts';
import type { Machine } from '../../identity/machine.ts';
import type { SharedMac } from './facts.ts';

/** Returns the MACs that several of these machines have, each with the machines' names in the order given. */
export function sharedMacs(machines: readonly Pick<Machine, 'name' | 'macs'>[]): SharedMac[] {
  const namesByMac = new Map<Mac, string[]>();
  for (const { name, macs } of machines) {
    for (const mac of macs) namesByMac.set(mac, [...(namesByMac.get(mac) ?? []), name]);
  }
  return [...namesByMac]
    .filter(([, names]) => names.length > 1)
    .map(([mac, names]) => ({ mac, machines: names }));
}
