// The tunnel of a network, the other hosts of its cluster, and its neighbours in BGP.
import type { TunnelStatus } from '../../../../src/report/tunnel-fields.ts';
import { neighbourRow, type PeerRow, peerRow } from '../model/peers.ts';
import { stateIcon } from './icons.tsx';
import { localTime } from './time.ts';

/** The list of the hosts, and of the neighbours in BGP. */
export function Peers({ tunnel }: { readonly tunnel: TunnelStatus }) {
  const { vni, link, mtu, address, peers, bgp } = tunnel;
  return (
    <section>
      <strong>Other hosts</strong>{' '}
      <span className="virlan-mono">
        {link}, VNI {vni}, {mtu === null ? 'not there' : `MTU ${mtu}`}, from {address}
      </span>
      <ul className="virlan-list" aria-label="Other hosts">
        {peers.map(peer => (
          <Row key={peer.address} row={peerRow(peer)} since={peer.since} />
        ))}
      </ul>
      {bgp === null ? null : (
        <>
          <strong>BGP</strong> <span className="virlan-mono">AS {bgp.as}</span>
          <ul className="virlan-list" aria-label="Neighbours in BGP">
            {bgp.neighbours.map(each => (
              <Row key={each.address} row={neighbourRow(each)} since={each.since} />
            ))}
          </ul>
        </>
      )}
    </section>
  );
}

function Row({ row, since }: { readonly row: PeerRow; readonly since: string | null }) {
  const { address, state, text, more } = row;
  return (
    <li>
      {stateIcon(state)}
      <span>
        <span className="virlan-mono">{address}</span> {text}
        {since === null ? null : ` since ${localTime(since)}`}; {more}
      </span>
    </li>
  );
}
