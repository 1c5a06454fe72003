// Steps for FRR's bgpd, by which the hosts of a cluster tell each other where machines are.
import * as v from 'valibot';
import type { BgpChange } from '../../cluster/bgp.ts';
import { described, nullable } from '../../json-form.ts';
import { bgpProblemText } from './bgp-text.ts';
import { formParts } from './step-form.ts';
import type { Forms, Kinds } from './step-kind.ts';
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
    json: changeJson,
  },
  'withdraw bgp': {
    describe: change => describe('-', change),
    unit: () => ({ kind: 'bgp' }),
    goal: changedLines,
    check: () => 'bgp',
    fault: () => 'bgpd of FRR has lines that are not needed',
    json: changeJson,
  },
};

export function bgpForms(): Forms<BgpFields> {
  const { integer, text } = formParts();
  const change = {
    as: integer,
    isNew: described(v.boolean(), 'Whether there is no instance of BGP yet.'),
    removes: nullable(integer, 'The AS of an instance of BGP that is removed as a whole.'),
    surplus: described(v.array(text), 'Lines that are removed.'),
    missing: described(v.array(text), 'Lines that are added.'),
    problem: nullable(text, 'Why that is not possible, with the remedy.'),
  };
  return { 'configure bgp': change, 'withdraw bgp': change };
}

function changeJson({ as, isNew, removes, surplus, missing, problem }: BgpChange): object {
  return {
    as,
    isNew,
    removes,
    surplus: surplus.map(({ command }) => command),
    missing: missing.map(({ command }) => command),
    problem: problem === null ? null : bgpProblemText(problem),
  };
}

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
