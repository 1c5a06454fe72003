// The other hosts of a network's cluster and its shared ledger, in words. Pure.
import type { SharedStatus } from '../../../../src/report/cluster-status.ts';
import type { BgpNeighbourStatus, PeerStatus } from '../../../../src/report/tunnel-fields.ts';

/** Describes a host, or the etcd of a cluster. */
export interface PeerRow {
  /** Its address, or `etcd`. */
  readonly title: string;
  readonly state: 'ok' | 'warn' | 'fail' | 'skipped';
  /** Its answer. */
  readonly text: string;
  /** The time since which it answers like this. */
  readonly since: string | null;
  /** Further facts. */
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
export function peerRow({ address: title, answer, listed, macs, since }: PeerStatus): PeerRow {
  const { state, text } = answer === null ? notAsked : answers[answer];
  const seen = `${counted(macs, 'MAC')} seen there`;
  return listed
    ? { title, state, text, since, more: seen }
    : { title, state: 'fail', text, since, more: `${seen}; the tunnel does not lead to it` };
}

/** Returns the row of a neighbour in BGP. */
export function neighbourRow({ address: title, session, routes, since }: BgpNeighbourStatus): PeerRow {
  const state = session === 'established' ? 'ok' : 'fail';
  const text = session === null ? 'not configured' : `session ${session}`;
  return { title, state, text, since, more: `${counted(routes, 'route')} from there` };
}

/** Returns the row of the etcd with the shared ledger. While it is away, new machines use the addresses in reserve. */
export function etcdRow({ etcd, freeAddresses }: SharedStatus): PeerRow {
  const title = 'etcd';
  const more = `${counted(freeAddresses, 'address')} in reserve`;
  if (etcd === null) return { title, state: 'skipped', text: 'not asked yet', since: null, more };
  const { connected, endpoint, since, error } = etcd;
  if (connected) return { title, state: 'ok', text: `connected to ${endpoint}`, since, more };
  return { title, state: 'fail', text: error === null ? 'away' : `away: ${error}`, since, more };
}

/** Returns the row of a host that shares the ledger. One that is away may be switched off: that is not a failure. */
export function memberRow({ address: title, alive, machines }: SharedStatus['hosts'][number]): PeerRow {
  const more = counted(machines, 'machine');
  if (alive === null)
    return { title, state: 'skipped', text: 'not known while etcd is away', since: null, more };
  return alive
    ? { title, state: 'ok', text: 'its watcher runs', since: null, more }
    : { title, state: 'warn', text: 'away', since: null, more };
}

function counted(count: number, noun: string): string {
  const plural = noun.endsWith('s') ? `${noun}es` : `${noun}s`;
  return `${count} ${count === 1 ? noun : plural}`;
}
