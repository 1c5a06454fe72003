// The part of dnsmasq.conf with the TXT and SRV records of libvirt's networks. dnsmasq reads none of them from a file
// that it reads again on SIGHUP.
//   txt-record=_dmarc.example.org,"v=DMARC1; p=none"
//   srv-host=_ldap._tcp.example.org,ldap.example.org,389,1,5
import type { DnsRecord } from '../names/dns-record.ts';
import { linesBelow } from './machine-lines.ts';

/** The comment above these lines, which end with an empty line or the file. */
export const recordsHeader = "# Records of libvirt's networks.";

/** Returns the lines of records, each once: two networks of libvirt may have the same. */
export function recordLines(records: readonly DnsRecord[]): string[] {
  return [...new Set(records.map(recordLine))];
}

/** Returns the lines of records of a configuration. */
export function readRecordLines(conf: string): string[] {
  return linesBelow(conf, recordsHeader);
}

function recordLine(record: DnsRecord): string {
  // Within quotes, a comma does not divide the value.
  if (record.kind === 'txt') return `txt-record=${record.name},"${record.value.replace(/["\\]/g, '\\$&')}"`;
  if (record.target === null) return `srv-host=${record.name}`;
  const { host, port, priority, weight } = record.target;
  return `srv-host=${record.name},${host},${port},${priority},${weight}`;
}
