// Steps for the guard of a bridge.
import * as v from 'valibot';
import type { RuleDrift } from '../../firewall/drift.ts';
import {
  countElements,
  type Elements,
  elementsWithout,
  joinElements,
  setNames,
} from '../../guard/elements.ts';
import { guardTable } from '../../guard/ruleset.ts';
import { described } from '../../json-form.ts';
import type { DesiredNetwork, GuardState, ObservedNetwork, TapElements } from '../state/state.ts';
import { formParts } from './step-form.ts';
import type { Forms, Kinds, StepsOf } from './step-kind.ts';
import { describeDrift, driftFault, line } from './step-text.ts';
import type { Unit } from './units.ts';

/** The fields of each kind. */
export interface GuardFields {
  /** Loads the table of the guard with all its elements. */
  'load guard': {
    readonly bridge: string;
    readonly guard: GuardState;
    /** True if a table of the guard is there, which stays in force if the new one is refused. */
    readonly isPresent: boolean;
    readonly drift: readonly RuleDrift[];
  };
  /** Changes elements of the guard's sets. `taps` are all that are guarded. */
  'change guard': {
    readonly bridge: string;
    readonly taps: readonly TapElements[];
    readonly missing: Elements;
    readonly surplus: Elements;
  };
  'remove guard': { readonly bridge: string };
}

type GuardStep = StepsOf<GuardFields>;

export const guardKinds: Kinds<GuardFields> = {
  'load guard': {
    describe: ({ bridge, guard: { taps }, drift }) =>
      line(
        drift.length === 0 ? '+' : '~',
        'guard',
        `table ${guardTable(bridge)}, ${taps.length} ${taps.length === 1 ? 'tap' : 'taps'}`,
        drift.map(describeDrift),
      ),
    unit: guardUnit,
    goal: ({ guard: { table } }) => table,
    check: () => 'rules',
    fault: ({ bridge, drift: [first] }) =>
      first === undefined
        ? `the guard of ${bridge} is missing`
        : `the guard of ${bridge} was changed: ${driftFault(first)}`,
    isOptional: () => true,
    json: ({ bridge, guard: { table, taps }, isPresent, drift }) => ({
      bridge,
      table,
      taps: taps.map(({ tap }) => tap),
      isPresent,
      drift,
    }),
  },
  'change guard': {
    describe({ bridge, missing, surplus }) {
      const counts = [`${countElements(missing)} more`, `${countElements(surplus)} less`];
      return line('~', 'guard', `table ${guardTable(bridge)}, elements: ${counts.join(', ')}`);
    },
    unit: guardUnit,
    goal: ({ missing, surplus }) => JSON.stringify([missing, surplus].map(listElements)),
    check: () => 'rules',
    fault: ({ bridge }) => `the guard of ${bridge} does not know all MACs and addresses`,
    isOptional: () => true,
    // All taps may be thousands.
    json: ({ bridge, missing, surplus }) => ({
      bridge,
      missing: elementsJson(missing),
      surplus: elementsJson(surplus),
    }),
  },
  'remove guard': {
    describe: ({ bridge }) => line('-', 'guard', `table ${guardTable(bridge)}`),
    unit: guardUnit,
    goal: () => 'gone',
    check: () => 'rules',
    fault: ({ bridge }) => `the guard of ${bridge} is not needed`,
  },
};

export function guardForms(): Forms<GuardFields> {
  const { drift, text } = formParts();
  const elements = described(v.record(text, v.array(text)), 'By the name of the set.');
  return {
    'load guard': {
      bridge: text,
      table: text,
      taps: v.array(text),
      isPresent: described(v.boolean(), 'Whether a table of the guard is there.'),
      drift,
    },
    'change guard': { bridge: text, missing: elements, surplus: elements },
    'remove guard': { bridge: text },
  };
}

/** Returns the elements by the name of their set, without empty sets. */
function elementsJson(elements: Elements): object {
  return Object.fromEntries(
    setNames.filter(name => elements[name].size > 0).map(name => [name, [...elements[name]]]),
  );
}

function listElements(elements: Elements): string[] {
  return Object.entries(elements).flatMap(([set, members]) => [...members].map(each => `${set} ${each}`));
}

function guardUnit({ bridge }: { readonly bridge: string }): Unit {
  return { kind: 'guard', bridge };
}

/** A table whose rules are right keeps its counters: only elements are changed. */
export function planGuard({ bridge, guard }: DesiredNetwork, { guard: found }: ObservedNetwork): GuardStep[] {
  if (guard === null) return found.present ? [{ kind: 'remove guard', bridge }] : [];
  if (!found.present || found.loaded !== guard.table || found.drift.length > 0)
    return [{ kind: 'load guard', bridge, guard, isPresent: found.present, drift: found.drift }];
  const wanted = joinElements([guard.belongings, ...guard.taps.map(({ elements }) => elements)]);
  const missing = elementsWithout(wanted, found.elements);
  const surplus = elementsWithout(found.elements, wanted);
  return countElements(missing) + countElements(surplus) === 0
    ? []
    : [{ kind: 'change guard', bridge, taps: guard.taps, missing, surplus }];
}
