// The details of findings about the ledger that the hosts of a cluster share by etcd.
import type { EtcdConfig } from '../config/config.ts';
import type { EtcdFailure } from '../shared-ledger/etcd-error.ts';
import type { AddressFault, HostFault } from '../shared-ledger/faults.ts';
import type { None } from './reach-details.ts';

/** A member of etcd, and how this host connects to it. */
export interface EtcdMember {
  /** Its URL. */
  readonly endpoint: string;
  readonly etcd: EtcdConfig;
}

/** A call of a member that failed. The message is partly etcd's: hostile. */
type EtcdFailures = {
  readonly [Reason in EtcdFailure as `etcd-${Reason}`]: EtcdMember & { readonly message: string };
};

/** The kinds of the faults, with their fields. */
type FaultDetails = {
  readonly [Each in HostFault | AddressFault as Each['kind']]: Omit<Each, 'kind'>;
};

export interface EtcdDetails extends EtcdFailures, FaultDetails {
  'etcd-serves': EtcdMember & { readonly writeMs: number };
  'etcd-slow': EtcdMember & { readonly writeMs: number; readonly limitMs: number };
  'etcd-no-quorum': EtcdMember;
  /** A certificate is not valid at the time that this host has. */
  'etcd-certificate-time': EtcdMember & { readonly message: string };
  'clocks-agree': { readonly limitMs: number };
  /** `aheadMs`: how far the clock of a member is ahead of this host's. */
  'clock-of-member': { readonly endpoint: string; readonly aheadMs: number };
  /** The clock of this host differs from those of all members in the same direction: by at least this. */
  'clock-of-host': { readonly aheadMs: number };
  'clocks-unknown': None;
  'hosts-alive': { readonly host: EtcdConfig['address'] };
  'addresses-unique': None;
  /** No member of etcd could be read. */
  'etcd-not-read': None;
}
