// The tunnel of a network, and the other hosts of its cluster.
import type { TunnelStatus } from '../../../../src/report/status.ts';
import { peerRow } from '../model/peers.ts';
import { stateIcon } from './icons.tsx';
import { localTime } from './time.ts';

/** The list of the hosts. */
export function Peers({ tunnel }: { readonly tunnel: TunnelStatus }) {
  const { vni, link, mtu, address, peers } = tunnel;
  return (
    <section>
      <strong>Other hosts</strong>{' '}
      <span className="virlan-mono">
        {link}, VNI {vni}, {mtu === null ? 'not there' : `MTU ${mtu}`}, from {address}
      </span>
      <ul className="virlan-list" aria-label="Other hosts">
        {peers.map(peer => {
          const { state, text, more } = peerRow(peer);
          return (
            <li key={peer.address}>
              {stateIcon(state)}
              <span>
                <span className="virlan-mono">{peer.address}</span> {text}
                {peer.since === null ? null : ` since ${localTime(peer.since)}`}; {more}
              </span>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
