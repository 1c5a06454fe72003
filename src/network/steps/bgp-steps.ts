// Steps for FRR's bgpd, by which the hosts of a cluster tell each other where machines are.
import type { BgpChange } from '../../cluster/bgp.ts';
import type { Kinds } from './step-kind.ts';
import { changeCount, line } from './step-text.ts';

/** The fields of each kind. */
export interface BgpFields {
  'configure bgp': BgpChange;
  'withdraw bgp': BgpChange;
}

export const bgpKinds: Kinds<BgpFields> = {
  'configure bgp': {
    describe: change => describe('~', change),
    unit: () => ({ kind: 'bgp' }),
    goal: changedLines,
    check: () => 'bgp',
    fault: ({ as }) => `bgpd of FRR is not configured for AS ${as}`,
  },
  'withdraw bgp': {
    describe: change => describe('-', change),
    unit: () => ({ kind: 'bgp' }),
    goal: changedLines,
    check: () => 'bgp',
    fault: () => 'bgpd of FRR has lines that are not needed',
  },
};

function changedLines({ as, removes, surplus, missing }: BgpChange): string {
  return JSON.stringify([as, removes, surplus, missing]);
}

function describe(sign: '~' | '-', { as, removes, surplus, missing }: BgpChange) {
  const lines = [
    ...(removes === null ? [] : [`- router bgp ${removes}`]),
    ...surplus.map(({ command }) => `- ${command}`),
    ...missing.map(({ command }) => `+ ${command}`),
  ];
  return line(sign, 'bgpd of FRR', `AS ${as}, ${changeCount(lines.length)}`, lines);
}
