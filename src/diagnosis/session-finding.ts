// The finding about a session of BGP. Pure.
import type { BgpSession, SessionAnswer } from '../cluster/bgp-sessions.ts';
import type { Detail } from './details.ts';
import type { PeerDetails } from './peer-details.ts';

/** Returns the detail of a session; `as` is that of this host. */
export function detailOfSession(
  { neighbour, routes, state }: BgpSession,
  answer: SessionAnswer,
  as: number,
): Detail<keyof PeerDetails> {
  switch (answer) {
    case 'established':
      return { kind: 'bgp-established', neighbour, routes };
    case 'without-route':
      return { kind: 'bgp-without-route', neighbour };
    case 'silent':
      return { kind: 'bgp-silent', neighbour };
    case 'refused':
      return { kind: 'bgp-refused', neighbour };
    case 'blocked':
      return { kind: 'bgp-blocked', neighbour };
    case 'other-as':
      return { kind: 'bgp-other-as', neighbour, as };
    case 'same-identifier':
      return { kind: 'bgp-same-identifier', neighbour };
    case 'not-established':
      return { kind: 'bgp-not-established', neighbour, state };
  }
}
