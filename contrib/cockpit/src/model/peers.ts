// The other hosts of a network's cluster, in words. Pure.
import type { BgpNeighbourStatus, PeerStatus } from '../../../../src/report/tunnel-fields.ts';

export interface PeerRow {
  readonly address: string;
  readonly state: 'ok' | 'warn' | 'fail' | 'skipped';
  /** How it answers. */
  readonly text: string;
  /** What the kernel knows of it. */
  readonly more: string;
}

const answers: Readonly<
  Record<NonNullable<PeerStatus['answer']>, { readonly state: PeerRow['state']; readonly text: string }>
> = {
  answers: { state: 'ok', text: 'answers' },
  'too-large': { state: 'fail', text: 'answers, but not to packets of full size' },
  silent: { state: 'fail', text: 'does not answer' },
  'no-route': { state: 'fail', text: 'this host has no route to it' },
  refuses: { state: 'fail', text: 'refuses the tunnel' },
  unknown: { state: 'warn', text: 'answers, and it is not known whether large packets arrive' },
};

const notAsked = { state: 'skipped', text: 'not asked yet' } as const;

/** Returns the row of a peer. One that the tunnel does not lead to is a failure, however it answers. */
export function peerRow({ address, answer, listed, macs }: PeerStatus): PeerRow {
  const { state, text } = answer === null ? notAsked : answers[answer];
  const seen = `${macs} ${macs === 1 ? 'MAC' : 'MACs'} seen there`;
  return listed
    ? { address, state, text, more: seen }
    : { address, state: 'fail', text, more: `${seen}; the tunnel does not lead to it` };
}

/** Returns the row of a neighbour in BGP. */
export function neighbourRow({ address, session, routes }: BgpNeighbourStatus): PeerRow {
  const state = session === 'established' ? 'ok' : 'fail';
  const more = `${routes} ${routes === 1 ? 'route' : 'routes'} from there`;
  return { address, state, text: session === null ? 'not configured' : `session ${session}`, more };
}
