// The declaration of one kind of step.
import type * as v from 'valibot';
import type { Description } from './step-text.ts';
import type { Unit } from './units.ts';

/** The check of `virlan doctor` that fails while a step is pending. */
export type StepCheck =
  | 'bridge'
  | 'stp'
  | 'taps'
  | 'settings'
  | 'forwarding'
  | 'reservations'
  | 'dnsmasq'
  | 'rules'
  | 'foreign'
  | 'tunnel'
  | 'bgp';

/** `bridge` is that of the network whose plan the step is in. */
export interface StepKind<S> {
  describe(step: S): Description;
  unit(step: S, bridge: string): Unit;
  /** Returns a key that is equal for steps of one unit that lead to the same state. Nobody reads it. */
  goal(step: S): string;
  check(step: S, bridge: string): StepCheck;
  /** Describes the fault of the host while the step is pending. */
  fault(step: S, bridge: string): string;
  /** Returns whether a network can be established, or taken down, without the step; by default it cannot. */
  isOptional?(step: S): boolean;
  /** Returns the fields in JSON output, where they are not those of the step. IP addresses are texts. */
  json?(step: S): object;
}

/** The steps with these fields, by kind. */
export type StepsOf<Fields> = {
  [Name in keyof Fields]: { readonly kind: Name } & Fields[Name];
}[keyof Fields];

/** The declarations of the kinds with these fields. */
export type Kinds<Fields> = {
  readonly [Name in keyof Fields]: StepKind<{ readonly kind: Name } & Fields[Name]>;
};

/** The forms of the fields of these kinds in JSON output, for docs/schema/plan.json. */
export type Forms<Fields> = { readonly [Name in keyof Fields]: v.ObjectEntries };
