// Surveys the parts of a network that other programs keep: firewalls, the host's resolver, and libvirt. Changes
// nothing.
import type { NetworkConfig } from '../config/config.ts';
import { availableBackends, chooseBackend } from '../firewall/backends.ts';
import { createRulesReader, type RulesReader } from '../firewall/rules-reader.ts';
import { makeRuleset, waysOut } from '../firewall/ruleset.ts';
import { type HostNames, judgeHostNames, readHostNames } from '../host-names/host-names.ts';
import { readNames } from '../identity/reservation-files.ts';
import { activePassThroughs, namesakeOf } from '../libvirt/definitions.ts';
import { refusedEntries } from '../libvirt/dns-entries.ts';
import { noOtherRules, type OtherFirewallsReading, type RulesByFirewall } from '../other-firewalls/model.ts';
import { readOtherFirewalls } from '../other-firewalls/observe.ts';
import { foundRules, wantedRules } from '../other-firewalls/registry.ts';
import { findUnknownChains } from '../other-firewalls/unknown-chains.ts';
import { system } from '../system/system.ts';
import { readLinksAndRoutes } from './kernel/read-kernel.ts';
import { planForgetting, planHostNames } from './plan-host-names.ts';
import { readLacking } from './records/lacking.ts';
import { defaultLinks, needsDefaultLinks } from './routes/route-links.ts';
import { planOtherFirewalls } from './steps/rule-steps.ts';
import type { Step } from './steps/steps.ts';
import type { NetworkWarning } from './warnings/warnings.ts';

/** virlan's part in the firewalls of other programs. */
export interface OtherFirewallsSurvey {
  readonly reading: OtherFirewallsReading;
  /** virlan's rules that are there. */
  readonly found: RulesByFirewall;
  readonly steps: readonly Step[];
  readonly warnings: readonly NetworkWarning[];
}

/** The way by which the host itself finds the names of machines, and the steps to it. */
export interface HostNamesSurvey {
  readonly found: HostNames;
  readonly steps: readonly Step[];
  readonly warnings: readonly NetworkWarning[];
}

/** Compares what the host's resolver knows of a network with the configuration. Never throws. */
export async function surveyHostNames(network: NetworkConfig): Promise<HostNamesSurvey> {
  const { bridge } = network;
  try {
    const reading = await readHostNames(system, bridge);
    const isManaged = reading.resolved?.isManaged === true;
    return {
      found: judgeHostNames(network, reading),
      steps: planHostNames(network, reading),
      warnings: isManaged && network.names !== 'no' ? [{ kind: 'resolved-managed', bridge }] : [],
    };
  } catch (error) {
    return {
      found: 'not-found',
      steps: [],
      warnings: [{ kind: 'resolved-silent', error: error as Error }],
    };
  }
}

/**
 * Warns where machines on libvirt's network of this name are not on the bridge, and of what libvirt's networks name
 * for DNS and is not served.
 */
export function libvirtWarnings(network: NetworkConfig): NetworkWarning[] {
  const { name, bridge } = network;
  const other = namesakeOf(name, bridge);
  return [
    ...(other === null ? [] : [{ kind: 'name-of-libvirt', bridge, other } as const]),
    ...dnsWarnings(network),
  ];
}

/** Returns the warnings about entries of `virsh net-update`, which libvirt accepts, that are not served. */
export function dnsWarnings({ bridge, domain }: NetworkConfig): NetworkWarning[] {
  const refused = refusedEntries(activePassThroughs({ bridge, domain }), domain, readNames(bridge));
  return refused.map(entry => ({ kind: 'libvirt-dns', entry }));
}

/** Plans that the host's resolver forgets a bridge. */
export async function surveyHostNamesRemoval(bridge: string): Promise<readonly Step[]> {
  const reading = await readHostNames(system, bridge).catch(() => null);
  return planForgetting(bridge, reading);
}

/** Plans the removal of virlan's rules from other firewalls. */
export async function surveyOtherRemovals(
  bridge: string,
): Promise<Pick<OtherFirewallsSurvey, 'steps' | 'warnings'>> {
  const reading = await readOtherFirewalls(system, bridge, createRulesReader(system));
  return {
    steps: planOtherFirewalls(bridge, noOtherRules, foundRules(bridge, reading)),
    warnings: unreadWarnings(reading),
  };
}

/** Compares virlan's rules in other firewalls with the configuration. Throws as `surveyOwn`. */
export async function surveyOtherFirewalls(
  network: NetworkConfig,
  reader: RulesReader,
): Promise<OtherFirewallsSurvey> {
  const { bridge } = network;
  const lacking = readLacking(bridge);
  const { chosen } = chooseBackend(network, availableBackends(system.isInstalled), lacking);
  const [reading, links] = await Promise.all([
    readOtherFirewalls(system, bridge, reader),
    needsDefaultLinks(network) ? readLinksAndRoutes(system).then(defaultLinks) : [],
  ]);
  const found = foundRules(bridge, reading);
  const ruleset = makeRuleset(network, 'ipv4', waysOut(network, links));
  // Without rules of virlan, other firewalls alone decide, and as they are.
  const unknown = ruleset === null ? [] : await findUnknownChains(system, bridge, chosen, reading);
  const wanted = ruleset === null ? noOtherRules : wantedRules(ruleset, chosen, reading);
  return {
    reading,
    found,
    steps: planOtherFirewalls(bridge, wanted, found),
    warnings: [
      ...unknown.map(each => ({ kind: 'unknown-chain', bridge, found: each }) as const),
      // Where the kernel has no nf_tables, there are no chains of it to see.
      ...unreadWarnings(reading).filter(
        ({ unread }) => unread.subject !== 'chains' || !lacking.includes('nftables'),
      ),
    ],
  };
}

function unreadWarnings({ unread }: OtherFirewallsReading) {
  return unread.map(each => ({ kind: 'unread', unread: each }) as const);
}
