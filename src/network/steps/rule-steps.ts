// Steps for rules: those of the backends, forwards, and those in other firewalls.
import * as v from 'valibot';
import type { Family } from '../../address/ip.ts';
import type { BackendName, RulesScript } from '../../firewall/backend.ts';
import { backends } from '../../firewall/backends.ts';
import type { RuleDrift } from '../../firewall/drift.ts';
import type { Leftover } from '../../firewall/flavours.ts';
import { compareTranslations, type TranslationsChange, translationText } from '../../firewall/translation.ts';
import { described } from '../../json-form.ts';
import { otherFirewallNames, type RulesByFirewall } from '../../other-firewalls/model.ts';
import { compareRules, describeRules, type OtherFirewallChange } from '../../other-firewalls/registry.ts';
import type { DesiredNetwork, FoundRules, ObservedNetwork, Treatment } from '../state/state.ts';
import { formParts } from './step-form.ts';
import type { Forms, Kinds, StepsOf } from './step-kind.ts';
import { changeCount, countOf, describeDrift, driftFault, line, lineCount, ownRules } from './step-text.ts';
import type { Unit } from './units.ts';

/** The fields of each kind. */
export interface RuleFields {
  'load rules': {
    readonly backend: BackendName;
    readonly family: Family;
    readonly bridge: string;
    readonly role: RulesScript['role'];
    readonly script: string;
    readonly drift: readonly RuleDrift[];
  };
  'remove rules': { readonly backend: BackendName; readonly family: Family; readonly bridge: string };
  /** Ends connections of machines whose addresses are translated, or not, other than it is right now. */
  'end connections': { readonly bridge: string; readonly from: Treatment; readonly to: Treatment };
  /** Removes virlan's rules of the flavour of iptables that is not selected. */
  'remove leftovers': Leftover & { readonly bridge: string };
  /** Changes the translations of forwards, whose rules exist. */
  'change forwards': { readonly backend: BackendName; readonly bridge: string } & TranslationsChange;
  /** Adds rules in the place of another program's firewall. */
  'allow in': OtherFirewallChange;
  'withdraw from': OtherFirewallChange;
}

type RuleStep = StepsOf<RuleFields>;

export const ruleKinds: Kinds<RuleFields> = {
  'load rules': {
    describe: step =>
      line(
        step.drift.length === 0 ? '+' : '~',
        `firewall (${step.backend})`,
        `${backends[step.backend].describePlace(step)}, ${countOf(step.script, step.backend)}`,
        step.drift.map(describeDrift),
      ),
    unit: ({ backend, family, bridge }) => ({ kind: 'rules', backend, family, bridge }),
    // An administrator who adds one rule after another is not a fight.
    goal: ({ script, drift }) =>
      [script, ...drift.flatMap(each => (each.kind === 'overruled' ? [each.rule] : []))].join('\n'),
    check: () => 'rules',
    fault({ backend, family, drift: [first] }) {
      const own = ownRules(backend, family);
      if (first === undefined) return `${own} are missing`;
      return first.kind === 'overruled'
        ? `${own} come before a rule that is to decide first: ${first.rule}`
        : `${own} were changed: ${driftFault(first)}`;
    },
    // A kernel may lack the rules of IPv6, and that which fills in checksums.
    isOptional: ({ family, role }) => family === 'ipv6' || role !== 'primary',
  },
  'remove rules': {
    describe: step => line('-', `firewall (${step.backend})`, backends[step.backend].describePlace(step)),
    unit: ({ backend, family, bridge }) => ({ kind: 'rules', backend, family, bridge }),
    goal: () => 'gone',
    check: () => 'rules',
    fault: ({ backend, family }) => `${ownRules(backend, family)} are not needed`,
  },
  'end connections': {
    describe: ({ from }) => line('-', 'connections', `that machines of ${from.subnet} began before`),
    unit: ({ bridge }) => ({ kind: 'connections', bridge }),
    goal: ({ to }) => JSON.stringify(to),
    check: () => 'rules',
    fault: ({ from }) =>
      `connections that machines of ${from.subnet} began before are ${from.isTranslated ? 'still' : 'not'} translated`,
    isOptional: () => true,
  },
  'remove leftovers': {
    describe: ({ family, flavour, bridge }) =>
      line('-', `firewall (iptables-${flavour})`, backends.iptables.describePlace({ bridge, family })),
    unit: ({ family, bridge }) => ({ kind: 'rules', backend: 'iptables', family, bridge }),
    goal: ({ flavour }) => `no ${flavour}`,
    check: () => 'rules',
    fault: ({ flavour }) => `rules of virlan's are left in iptables-${flavour}, which is not selected`,
    isOptional: () => true,
  },
  'change forwards': {
    describe: ({ bridge, missing, stale }) =>
      line('~', `forwards to ${bridge}`, changeCount(missing.length + stale.length), [
        ...missing.map(each => `+ ${translationText(each)}`),
        ...stale.map(each => `- ${translationText(each)}`),
      ]),
    unit: ({ bridge }) => ({ kind: 'forwards', bridge }),
    goal: ({ missing, stale }) => JSON.stringify([missing, stale]),
    check: () => 'rules',
    fault({ missing: [lacking], stale: [surplus] }) {
      if (lacking !== undefined) return `the forward ${translationText(lacking)} is not in force`;
      return `the forward ${surplus === undefined ? '' : translationText(surplus)} is not needed`;
    },
    // All translations may be thousands.
    json: ({ backend, bridge, missing, stale }) => ({
      backend,
      bridge,
      missing: missing.map(translationText),
      stale: stale.map(translationText),
    }),
  },
  'allow in': {
    describe: step =>
      line('+', step.firewall, `lets ${step.bridge} pass, ${lineCount(step)}`, describeRules(step)),
    unit: otherFirewallUnit,
    goal: ({ rules }) => `+ ${JSON.stringify(rules)}`,
    check: () => 'foreign',
    fault: ({ firewall, bridge }) => `${firewall} has not been told to let ${bridge} through`,
  },
  'withdraw from': {
    describe: step =>
      line('-', step.firewall, `forgets ${step.bridge}, ${lineCount(step)}`, describeRules(step)),
    unit: otherFirewallUnit,
    goal: ({ rules }) => `- ${JSON.stringify(rules)}`,
    check: () => 'foreign',
    fault: ({ firewall, bridge }) => `${firewall} has more rules for ${bridge} than needed`,
  },
};

export function ruleForms(): Forms<RuleFields> {
  const { backend, drift, family, text } = formParts();
  const treatment = v.object({
    subnet: text,
    isTranslated: described(v.boolean(), "Whether machines' addresses are translated."),
  });
  const otherRules = {
    firewall: v.picklist(otherFirewallNames),
    bridge: text,
    rules: v.array(v.objectWithRest({ kind: text }, v.unknown())),
  };
  const role = v.picklist(['primary', 'companion']);
  return {
    'load rules': { backend, family, bridge: text, role, script: text, drift },
    'remove rules': { backend, family, bridge: text },
    'end connections': { bridge: text, from: treatment, to: treatment },
    'remove leftovers': { family, flavour: v.picklist(['nft', 'legacy']), bridge: text },
    'change forwards': { backend, bridge: text, missing: v.array(text), stale: v.array(text) },
    'allow in': otherRules,
    'withdraw from': otherRules,
  };
}

function otherFirewallUnit({ firewall, bridge }: OtherFirewallChange): Unit {
  return { kind: 'other-firewall', firewall, bridge };
}

export function planLoad(
  { backend, family, bridge, role, script }: RulesScript,
  { rules }: ObservedNetwork,
): RuleStep[] {
  const found = rules.find(each => each.backend === backend && each.family === family);
  const drift = found?.drift ?? [];
  const isRight = found?.present === true && found.loaded === script && drift.length === 0;
  return isRight ? [] : [{ kind: 'load rules', backend, family, bridge, role, script, drift }];
}

/** Rules are loaded without any forward. */
export function planTranslations(
  { bridge, translations: wanted }: DesiredNetwork,
  { rules }: ObservedNetwork,
  loads: readonly RuleStep[],
): RuleStep[] {
  if (wanted.kind === 'leave') return [];
  const { backend } = wanted;
  const isNew = loads.some(
    step => step.kind === 'load rules' && step.backend === backend && step.family === 'ipv4',
  );
  const found = rules.find(each => each.backend === backend && each.family === 'ipv4');
  const change = compareTranslations(wanted.all, isNew ? [] : (found?.translations ?? []));
  return change.missing.length + change.stale.length === 0
    ? []
    : [{ kind: 'change forwards', backend, bridge, ...change }];
}

export function planRemovals({ bridge, rules }: DesiredNetwork, observed: ObservedNetwork): RuleStep[] {
  const isWanted = ({ backend, family }: FoundRules) =>
    rules.some(each => each.backend === backend && each.family === family);
  return observed.rules
    .filter(found => found.present && !isWanted(found))
    .map(({ backend, family }) => ({ kind: 'remove rules', backend, family, bridge }));
}

/** Plans the end of connections whose addresses the kernel would go on to treat as before. */
export function planConnections(
  { bridge, treatment: to }: DesiredNetwork,
  { treatment: from }: Pick<ObservedNetwork, 'treatment'>,
): RuleStep[] {
  if (from === null || to === null) return [];
  const isSame = from.subnet === to.subnet && from.isTranslated === to.isTranslated;
  return isSame ? [] : [{ kind: 'end connections', bridge, from, to }];
}

export function planLeftovers({ bridge }: DesiredNetwork, { leftovers }: ObservedNetwork): RuleStep[] {
  return leftovers.map(({ family, flavour }) => ({ kind: 'remove leftovers', family, flavour, bridge }));
}

/**
 * Returns the changes of virlan's rules in other firewalls. Stale rules may be an older form of the missing
 * ones.
 */
export function planOtherFirewalls(
  bridge: string,
  wanted: RulesByFirewall,
  found: RulesByFirewall,
): RuleStep[] {
  const { stale, missing } = compareRules(bridge, wanted, found);
  return [
    ...stale.map(change => ({ kind: 'withdraw from', ...change }) as const),
    ...missing.map(change => ({ kind: 'allow in', ...change }) as const),
  ];
}
