// The survey of a network as a whole, for those who show it: status, plan and doctor.
import type { BgpSession } from '../cluster/bgp-sessions.ts';
import type { NetworkConfig } from '../config/config.ts';
import { createRulesReader, type RulesReader } from '../firewall/rules-reader.ts';
import { findForwardRules } from '../other-firewalls/forward-rules.ts';
import type { TunnelDrop } from '../other-firewalls/tunnel-drops.ts';
import { system } from '../system/system.ts';
import { type OwnSurvey, surveyOwn } from './survey.ts';
import {
  type HostNamesSurvey,
  libvirtWarnings,
  type OtherFirewallsSurvey,
  surveyHostNames,
  surveyOtherFirewalls,
} from './survey-other-programs.ts';
import { otherHosts } from './tunnel/tunnel-hosts.ts';
import { joinWarnings } from './warnings/warnings.ts';

/** All parts; `steps` and `warnings` are those of all. */
export interface Survey extends OwnSurvey {
  readonly otherFirewalls: OtherFirewallsSurvey;
  readonly hostNames: HostNamesSurvey;
  /** The rules and policies of other programs that drop packets of its tunnel; none without a tunnel. */
  readonly tunnelDrops: readonly TunnelDrop[];
  /** The sessions of FRR's bgpd with `peers`; none without `as`, and while it does not answer. */
  readonly bgpSessions: readonly BgpSession[];
}

/**
 * Compares a network with its configuration. Throws when the host cannot be read, or has no usable firewall
 * backend.
 */
export async function surveyNetwork(network: NetworkConfig): Promise<Survey> {
  const reader = createRulesReader(system);
  const sessions = readBgpSessions(network);
  const [own, otherFirewalls, hostNames] = await Promise.all([
    surveyOwn(network, reader),
    surveyOtherFirewalls(network, reader),
    surveyHostNames(network),
  ]);
  const [link = null] = own.defaultLinks;
  const rules = await findForwardRules(system, reader, network.bridge, own.forwards?.claims ?? [], link);
  return {
    ...own,
    otherFirewalls,
    hostNames,
    tunnelDrops: await readTunnelDrops(own, reader),
    bgpSessions: await sessions,
    steps: [...own.steps, ...otherFirewalls.steps, ...hostNames.steps],
    warnings: [
      ...joinWarnings(own.warnings, otherFirewalls.warnings),
      ...hostNames.warnings,
      ...libvirtWarnings(network),
      ...rules.drops.map(drop => ({ kind: 'forward-dropped', drop }) as const),
      ...rules.takings.map(taking => ({ kind: 'forward-taken', taking }) as const),
    ],
  };
}

/** Returns the sessions with `peers`; another check reports a bgpd that does not answer. */
export async function readBgpSessions({ tunnel }: NetworkConfig): Promise<readonly BgpSession[]> {
  if (tunnel === null || tunnel.evpn === null) return [];
  const { readSessions } = await import('./tunnel/bgp.ts');
  const all = await readSessions().catch(() => []);
  return all.filter(({ neighbour }) => tunnel.peers.includes(neighbour));
}

async function readTunnelDrops(
  { network: { tunnel }, underlay: link, observed }: OwnSurvey,
  reader: RulesReader,
): Promise<TunnelDrop[]> {
  if (tunnel === null || link === null) return [];
  const { findTunnelDrops } = await import('../other-firewalls/tunnel-drops.ts');
  const peers = otherHosts(tunnel, observed.tunnel);
  return findTunnelDrops(system, reader, { address: tunnel.address, peers, link });
}
