// JSON between a probe and the program in its network namespace (bin/probe-guest.ts), with addresses as text:
//   {"lease": {"kind": "leased", "ip": "192.168.100.254"}, "dns": …, "upstream": …, "nextHopAnswers": true}
import type { Mac } from '../../address/mac.ts';

/** The task of the guest. */
export interface ProbeRequest {
  readonly mac: Mac;
  /** Length of the subnet's prefix. */
  readonly prefix: number;
  readonly gateway: string;
  /** A name that the gateway's DNS knows while the probe has its lease. */
  readonly name: string;
  /** The next hop of packets for the outside; null where there is none to ask. */
  readonly nextHop: string | null;
  /** True to ask the gateway's DNS a question that it has to forward. */
  readonly asksUpstream: boolean;
}

/** The guest's result. Null stands for a stage that it did not reach, or was not asked for. */
export interface ProbeReport {
  readonly lease: LeaseReport;
  /** The answer of the gateway's DNS to the name. */
  readonly dns: DnsReport | null;
  /** Its answer to a question that it has to forward. */
  readonly upstream: UpstreamReport | null;
  readonly nextHopAnswers: boolean | null;
}

export type LeaseReport =
  | { readonly kind: 'leased'; readonly ip: string }
  /** The message to which no server answered. */
  | { readonly kind: 'silent'; readonly after: 'DISCOVER' | 'REQUEST' }
  /** The server offered an address and then sent a DHCPNAK. */
  | { readonly kind: 'refused' };

/** `code`: an error code of c-ares, such as ETIMEOUT. */
export type DnsReport =
  | { readonly kind: 'answered'; readonly addresses: readonly string[] }
  /** The gateway, or the machine, does not answer ARP, so that nothing can be sent to it. */
  | { readonly kind: 'unresolved' }
  | { readonly kind: 'failed'; readonly code: string };

/** Returns whether the DNS answered the question for the probe's name without its address. */
export function isNameUnknown(dns: DnsReport | null, ip: string): boolean {
  return dns?.kind === 'answered' && !dns.addresses.includes(ip);
}

export type UpstreamReport =
  | { readonly kind: 'answered' }
  | { readonly kind: 'failed'; readonly code: string };
