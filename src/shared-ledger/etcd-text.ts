// The words about failures of etcd.
import type { EtcdFailure } from './etcd-error.ts';

/** Names the remedy for each failure. */
export const etcdRemedies: Readonly<Record<EtcdFailure, string>> = {
  unreachable: 'machines still start; look at etcd and the way to it',
  tls: 'look at ca, cert and key of [cluster], and at the certificates of etcd',
  auth: 'look at username and password-file of [cluster], and at the roles of that user',
  file: 'look at the files that [cluster] names',
  failed: 'machines still start',
};
