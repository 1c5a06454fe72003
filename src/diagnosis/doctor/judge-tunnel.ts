// Findings about the tunnel of a network to the other hosts of its cluster, and about these.
import { tunnelName } from '../../network/state/link-names.ts';
import { type Finding, fail, ok, skipped } from '../finding.ts';
import { findingOfPeer } from '../peer-finding.ts';
import { detailOfSession } from '../session-finding.ts';
import type { NetworkFacts } from './facts.ts';

/** Judges this host's end. `failure`: what `virlan up` would change of it. None for a network without a tunnel. */
export function judgeTunnel({ survey }: NetworkFacts, failure: Finding | null): Finding[] {
  if (failure !== null) return [failure];
  if (survey.network.tunnel === null) return [];
  const [missing] = survey.warnings.filter(warning => warning.kind === 'underlay-missing');
  if (missing !== undefined) return [fail('tunnel', missing)];
  const drops = survey.tunnelDrops.map(drop => fail('tunnel', { kind: 'tunnel-dropped', drop }));
  const link = tunnelName(survey.network.bridge);
  return drops.length > 0 ? drops : [ok('tunnel', { kind: 'tunnel-in-force', link })];
}

/** Judges the part of FRR. `failure`: what `virlan up` would change of it. None without `as`. */
export function judgeBgp({ survey, sessions }: NetworkFacts, failure: Finding | null): Finding[] {
  const [step] = survey.steps.filter(({ kind }) => kind === 'configure bgp');
  if (step?.kind === 'configure bgp' && step.problem !== null)
    return [fail('bgp', { kind: 'bgp-not-configured', problem: step.problem })];
  if (failure !== null) return [failure];
  const { as = 0 } = survey.network.tunnel?.evpn ?? {};
  return sessions.map(session => {
    const detail = detailOfSession(session, session.answer, as);
    return session.answer === 'established' ? ok('bgp', detail) : fail('bgp', detail);
  });
}

/** Judges the other hosts. None for a network without a tunnel. */
export function judgePeers({ survey, peers }: NetworkFacts): Finding[] {
  const [missing] = survey.warnings.filter(warning => warning.kind === 'underlay-missing');
  if (missing !== undefined) return [skipped('peers', missing)];
  const { name } = survey.network;
  const macsBehind = survey.observed.tunnel?.macsBehind;
  return peers.map(report =>
    findingOfPeer(report, { network: name, macs: macsBehind?.get(report.peer) ?? 0 }),
  );
}
