// The tunnel of a network, the other hosts of its cluster, its neighbours in BGP, and the ledger that hosts share.
import type { SharedStatus } from '../../../../src/report/cluster-status.ts';
import type { TunnelStatus } from '../../../../src/report/tunnel-fields.ts';
import { etcdRow, memberRow, neighbourRow, type PeerRow, peerRow } from '../model/peers.ts';
import { stateIcon } from './icons.tsx';
import { localTime } from './time.ts';

/** The list of the hosts, and of the neighbours in BGP. */
export function Peers({ tunnel }: { readonly tunnel: TunnelStatus }) {
  const { vni, link, mtu, address, peers, bgp } = tunnel;
  return (
    <section className="virlan-hosts">
      <strong>Other hosts</strong>{' '}
      <span className="virlan-mono">
        {link}, VNI {vni}, {mtu === null ? 'not there' : `MTU ${mtu}`}, from {address}
      </span>
      <Rows label="Other hosts" rows={peers.map(peerRow)} />
      {bgp === null ? null : (
        <>
          <strong>BGP</strong> <span className="virlan-mono">AS {bgp.as}</span>
          <Rows label="Neighbours in BGP" rows={bgp.neighbours.map(neighbourRow)} />
        </>
      )}
    </section>
  );
}

/** The state of the shared ledger, and the hosts that share it. */
export function SharedLedger({ shared }: { readonly shared: SharedStatus }) {
  return (
    <section className="virlan-hosts">
      <strong>Shared ledger</strong>
      <Rows label="Shared ledger" rows={[etcdRow(shared), ...shared.hosts.map(memberRow)]} />
    </section>
  );
}

function Rows({ label, rows }: { readonly label: string; readonly rows: readonly PeerRow[] }) {
  return (
    <ul className="virlan-list" aria-label={label}>
      {rows.map(({ title, state, text, since, more }) => (
        <li key={title}>
          {stateIcon(state)}
          <span>
            <span className="virlan-mono">{title}</span> {text}
            {since === null ? null : ` since ${localTime(since)}`}; {more}
          </span>
        </li>
      ))}
    </ul>
  );
}
