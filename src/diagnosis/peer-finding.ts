// The finding about a peer that was asked. Pure.
import type { PeerReport } from '../cluster/peer.ts';
import type { Detail } from './details.ts';
import type { Finding, State } from './finding.ts';
import type { PeerDetails } from './peer-details.ts';

/** A finding about a peer. */
export interface PeerFinding extends Finding {
  readonly detail: Detail<keyof PeerDetails>;
}

/** Returns the finding. `macs`: how many senders were seen behind the peer. */
export function findingOfPeer(
  { peer, answer, bytes, mtu }: PeerReport,
  { network, macs }: { readonly network: string; readonly macs: number },
): PeerFinding {
  switch (answer) {
    case 'answers':
      return finding('ok', { kind: 'peer-answers', peer, bytes, macs });
    case 'unknown':
      return finding('warn', { kind: 'peer-size-unknown', peer });
    case 'no-route':
      return finding('fail', { kind: 'peer-without-route', peer });
    case 'silent':
      return finding('fail', { kind: 'peer-silent', peer });
    case 'refuses':
      return finding('fail', { kind: 'peer-refuses', peer });
    case 'too-large':
      return finding('fail', { kind: 'peer-needs-smaller-packets', peer, network, bytes, mtu });
  }
}

function finding(state: State, detail: PeerFinding['detail']): PeerFinding {
  return { check: 'peers', state, detail };
}
