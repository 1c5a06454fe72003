// The survey of a network as a whole, for those who show it: status, plan and doctor.
import type { BgpSession } from '../cluster/bgp-sessions.ts';
import type { NetworkConfig } from '../config/config.ts';
import { createHostRules, type HostRules } from '../other-firewalls/base-chains.ts';
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
export async function surveyNetwork(
  network: NetworkConfig,
  rules: HostRules = createHostRules(system),
): Promise<Survey> {
  const sessions = readBgpSessions(network);
  const [own, otherFirewalls, hostNames] = await Promise.all([
    surveyOwn(network, rules),
    surveyOtherFirewalls(network, rules),
    surveyHostNames(network),
  ]);
  const [link = null] = own.defaultLinks;
  const claims = own.forwards?.claims ?? [];
  const { drops, takings } = await findForwardRules(system, rules, network.bridge, claims, link);
  return {
    ...own,
    otherFirewalls,
    hostNames,
    tunnelDrops: await readTunnelDrops(own, rules),
    bgpSessions: await sessions,
    steps: [...own.steps, ...otherFirewalls.steps, ...hostNames.steps],
    warnings: [
      ...joinWarnings(own.warnings, otherFirewalls.warnings),
      ...hostNames.warnings,
      ...libvirtWarnings(network),
      ...drops.map(drop => ({ kind: 'forward-dropped', drop }) as const),
      ...takings.map(taking => ({ kind: 'forward-taken', taking }) as const),
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
  rules: HostRules,
): Promise<TunnelDrop[]> {
  if (tunnel === null || link === null) return [];
  const { findTunnelDrops } = await import('../other-firewalls/tunnel-drops.ts');
  const peers = otherHosts(tunnel, observed.tunnel);
  return findTunnelDrops(system, rules, { address: tunnel.address, peers, link });
}
