// Steps: single changes of the host. The files *-steps.ts declare every kind of step: its fields, how it is
// described, which repair unit it belongs to, the state that it leads to, which check of the doctor it fails, what is
// wrong while it is pending, its form in JSON output, and when it is planned. network/executors/executors.ts executes
// them.

import { type BgpFields, bgpForms, bgpKinds } from './bgp-steps.ts';
import { type DnsmasqFields, dnsmasqForms, dnsmasqKinds } from './dnsmasq-steps.ts';
import { type GuardFields, guardForms, guardKinds } from './guard-steps.ts';
import { type HostFields, hostForms, hostKinds } from './host-steps.ts';
import { type LinkFields, linkForms, linkKinds } from './link-steps.ts';
import { type PortFields, portForms, portKinds } from './port-steps.ts';
import { type RuleFields, ruleForms, ruleKinds } from './rule-steps.ts';
import type { Forms, Kinds, StepCheck, StepKind, StepsOf } from './step-kind.ts';
import type { Description } from './step-text.ts';
import { type TunnelFields, tunnelForms, tunnelKinds } from './tunnel-steps.ts';
import type { Unit } from './units.ts';

type StepFields = LinkFields &
  PortFields &
  HostFields &
  RuleFields &
  GuardFields &
  DnsmasqFields &
  TunnelFields &
  BgpFields;

export type StepName = keyof StepFields;

export type StepOf<Name extends StepName> = { readonly kind: Name } & StepFields[Name];

/** One change of the host. */
export type Step = StepsOf<StepFields>;

const kinds: Kinds<StepFields> = {
  ...linkKinds,
  ...portKinds,
  ...hostKinds,
  ...ruleKinds,
  ...guardKinds,
  ...dnsmasqKinds,
  ...tunnelKinds,
  ...bgpKinds,
};

/** Returns the form of each kind in JSON output: a function, so that only the program that writes schemas has it. */
export function stepForms(): Forms<StepFields> {
  return {
    ...linkForms(),
    ...portForms(),
    ...hostForms(),
    ...ruleForms(),
    ...guardForms(),
    ...dnsmasqForms(),
    ...tunnelForms(),
    ...bgpForms(),
  };
}

function kindOf<Name extends StepName>(step: StepOf<Name>): StepKind<StepOf<Name>> {
  return kinds[step.kind];
}

/** Describes a step for people. */
export function describeStep<Name extends StepName>(step: StepOf<Name>): Description {
  return kindOf(step).describe(step);
}

/** Returns the fields of a step in JSON output. */
export function stepFields<Name extends StepName>(step: StepOf<Name>): object {
  const { kind: _, ...fields } = step;
  return kindOf(step).json?.(step) ?? fields;
}

/** Returns the check of the doctor that fails while a step is pending. */
export function checkOf<Name extends StepName>(step: StepOf<Name>, bridge: string): StepCheck {
  return kindOf(step).check(step, bridge);
}

/** Describes the fault of the host while a step is pending. */
export function faultOf<Name extends StepName>(step: StepOf<Name>, bridge: string): string {
  return kindOf(step).fault(step, bridge);
}

/** Returns whether a network must not be established, or count as taken down, without a step. */
export function isEssential<Name extends StepName>(step: StepOf<Name>): boolean {
  return kindOf(step).isOptional?.(step) !== true;
}

/**
 * Returns a text that is equal when steps lead a unit to the same state. Repairs to the same state again and again
 * mean that another program fights for the unit; repairs to different states do not.
 */
export function goalOf(steps: readonly Step[]): string {
  const goals = steps.map(goalOfStep).filter(goal => goal !== '');
  return JSON.stringify(goals);
}

function goalOfStep<Name extends StepName>(step: StepOf<Name>): string {
  return kindOf(step).goal(step);
}

export function unitOfStep<Name extends StepName>(step: StepOf<Name>, bridge: string): Unit {
  return kindOf(step).unit(step, bridge);
}
