// Findings about the tunnel of a network to the other hosts of its cluster, and about these.
import { tunnelName } from '../../network/desired.ts';
import { type Finding, fail, ok, skipped } from '../finding.ts';
import { findingOfPeer } from '../peer-finding.ts';
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
