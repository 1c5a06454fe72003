// The codes of problems that `virlan status` can list. Pure.
import type { Fault } from './status.ts';

/** A row for each code, so that the compiler names one that is missing. */
const all: Readonly<Record<Fault['code'], true>> = {
  conflict: true,
  detour: true,
  'ipv6-unfiltered': true,
  'ipv6-address': true,
  'lan-port': true,
  'kernel-replaced': true,
  'unknown-chain': true,
  'rules-refused': true,
  unread: true,
  'resolved-managed': true,
  'resolved-silent': true,
  'dnsmasq-keeps-configuration': true,
  'not-recorded': true,
  'guard-needs-nft': true,
  'guard-refused': true,
  'security-refused': true,
  'underlay-missing': true,
  'guard-metadata': true,
  'forward-refused': true,
  'forward-dropped': true,
  'reservations-unknown': true,
  'not-established': true,
  drift: true,
  'no-dummy': true,
  'no-checksum': true,
  'checksum-refused': true,
  fight: true,
  failed: true,
  unreadable: true,
  configuration: true,
  'files-polled': true,
  'libvirt-network': true,
  'metrics-not-served': true,
  probe: true,
  'tunnel-dropped': true,
  peer: true,
};

export const faultCodes = Object.keys(all) as Fault['code'][];
