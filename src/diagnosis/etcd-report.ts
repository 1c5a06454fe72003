// The answers of etcd to the doctor. Pure.
import type { EtcdConfig } from '../config/config.ts';
import type { AddressFault, HostFault } from '../shared-ledger/faults.ts';
import type { MemberReport } from '../shared-ledger/member-report.ts';

/** The members of etcd, and the faults in what they have of a network. */
export interface EtcdReport {
  readonly etcd: EtcdConfig;
  readonly members: readonly MemberReport[];
  /** Null where no member could be read. */
  readonly faults: {
    readonly hosts: readonly HostFault[];
    readonly addresses: readonly AddressFault[];
  } | null;
}
