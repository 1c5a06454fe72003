// All firewalls of other programs that virlan extends, and the operations on all of them.
import type { BackendName } from '../firewall/backend.ts';
import type { Ruleset } from '../firewall/rule.ts';
import type { System } from '../system/system.ts';
import { docker } from './docker.ts';
import { firewalld } from './firewalld.ts';
import {
  type OtherFirewallName,
  type OtherFirewallsReading,
  otherFirewallNames,
  type RuleOf,
  type RulesByFirewall,
} from './model.ts';
import type { KernelReading, OtherFirewall } from './other-firewall.ts';
import { ufw } from './ufw.ts';

export const otherFirewalls: { readonly [Name in OtherFirewallName]: OtherFirewall<Name> } = {
  docker,
  ufw,
  firewalld,
};

/** A change of virlan's rules in one program's firewall. */
export type OtherFirewallChange<Name extends OtherFirewallName = OtherFirewallName> = {
  readonly [Each in Name]: {
    readonly firewall: Each;
    readonly bridge: string;
    readonly rules: readonly RuleOf<Each>[];
  };
}[Name];

/** Returns the rules that machines need in the firewalls of all programs. */
export function wantedRules(
  ruleset: Ruleset,
  backend: BackendName,
  reading: OtherFirewallsReading,
): RulesByFirewall {
  return rulesOfEach(firewall => firewall.wanted(ruleset, backend, reading));
}

/** Returns virlan's rules that exist in the firewalls of all programs. */
export function foundRules(bridge: string, reading: OtherFirewallsReading): RulesByFirewall {
  return rulesOfEach(firewall => firewall.found(bridge, reading));
}

function rulesOfEach(
  rulesOf: <Name extends OtherFirewallName>(firewall: OtherFirewall<Name>) => readonly RuleOf<Name>[],
): RulesByFirewall {
  const ofOne = <Name extends OtherFirewallName>(name: Name) =>
    [name, rulesOf<Name>(otherFirewalls[name])] as const;
  return Object.fromEntries(otherFirewallNames.map(name => ofOne(name))) as RulesByFirewall;
}

/** Reads the files of all programs, and asks those that run. `unread` is called for each that does not answer. */
export async function readPrograms(
  system: System,
  bridge: string,
  kernel: KernelReading,
  unread: (name: OtherFirewallName, error: Error) => void,
): Promise<Pick<OtherFirewallsReading, OtherFirewallName>> {
  const readings = otherFirewallNames.map(
    async name =>
      [name, await otherFirewalls[name].read(system, bridge, kernel, error => unread(name, error))] as const,
  );
  return Object.fromEntries(await Promise.all(readings)) as Pick<OtherFirewallsReading, OtherFirewallName>;
}

/** Returns those of the programs that take part in this host's packets. */
export function presentFirewalls(reading: OtherFirewallsReading): OtherFirewallName[] {
  return otherFirewallNames.filter(name => otherFirewalls[name].isPresent(reading));
}

/** Returns the rules to remove and the rules to add, per program. */
export function compareRules(
  bridge: string,
  wanted: RulesByFirewall,
  found: RulesByFirewall,
): { stale: OtherFirewallChange[]; missing: OtherFirewallChange[] } {
  return {
    stale: otherFirewallNames.flatMap(name => difference(name, bridge, found, wanted)),
    missing: otherFirewallNames.flatMap(name => difference(name, bridge, wanted, found)),
  };
}

function difference<Name extends OtherFirewallName>(
  firewall: Name,
  bridge: string,
  of: RulesByFirewall,
  without: RulesByFirewall,
): OtherFirewallChange<Name>[] {
  const others = new Set(without[firewall].map(rule => JSON.stringify(rule)));
  const rules = of[firewall].filter(rule => !others.has(JSON.stringify(rule)));
  return rules.length === 0 ? [] : [{ firewall, bridge, rules } as OtherFirewallChange<Name>];
}

/** Adds rules to a program's firewall. Throws when the program refuses them. */
export function allow<Name extends OtherFirewallName>(
  system: System,
  { firewall, bridge, rules }: OtherFirewallChange<Name>,
): Promise<void> {
  const program: OtherFirewall<Name> = otherFirewalls[firewall];
  return program.allow(system, bridge, rules);
}

/** Removes rules from a program's firewall. Throws when the program refuses. */
export function withdraw<Name extends OtherFirewallName>(
  system: System,
  { firewall, bridge, rules }: OtherFirewallChange<Name>,
): Promise<void> {
  const program: OtherFirewall<Name> = otherFirewalls[firewall];
  return program.withdraw(system, bridge, rules);
}

/** Returns each rule of a change as the command or object that an administrator knows. */
export function describeRules<Name extends OtherFirewallName>({
  firewall,
  rules,
}: Pick<OtherFirewallChange<Name>, 'firewall' | 'rules'>): string[] {
  const program: OtherFirewall<Name> = otherFirewalls[firewall];
  return rules.map(rule => program.describe(rule));
}
