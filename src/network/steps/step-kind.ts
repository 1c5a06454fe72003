// The declaration of one kind of step.
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
  /** Returns a text that is equal for steps of one unit that lead to the same state. */
  goal(step: S): string;
  check(step: S, bridge: string): StepCheck;
  /** Describes the fault of the host while the step is pending. */
  fault(step: S, bridge: string): string;
  /** Returns whether a network can be established, or taken down, without the step; by default it cannot. */
  isOptional?(step: S): boolean;
}

/** The steps with these fields, by kind. */
export type StepsOf<Fields> = {
  [Name in keyof Fields]: { readonly kind: Name } & Fields[Name];
}[keyof Fields];

/** The declarations of the kinds with these fields. */
export type Kinds<Fields> = {
  readonly [Name in keyof Fields]: StepKind<{ readonly kind: Name } & Fields[Name]>;
};
