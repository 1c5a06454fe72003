import { type Ipv4, parseIpv4 } from '../address/ip.ts';
import { type Mac, parseMac } from '../address/mac.ts';

/** One line of dnsmasq's leases file. The name and the client id are the guest's own words: hostile. */
export interface Lease {
  readonly mac: Mac;
  readonly ip: Ipv4;
  readonly hostname: string | null;
  readonly clientId: string | null;
  /** Seconds since 1970; 0 for a lease without an end. */
  readonly expires: number;
}

/** Reads the file that dnsmasq writes (lease_update_file in its lease.c); a line of any other form, as of DHCPv6, is passed over. */
export function parseLeases(text: string): Lease[] {
  return text.split('\n').flatMap(line => {
    const [expires = '', hardware = '', address = '', hostname = '*', clientId = '*'] = line.split(' ');
    const [mac, ip] = [parseMac(hardware), parseIpv4(address)];
    if (mac === null || ip === null || !/^\d{1,12}$/.test(expires)) return [];
    return [
      { mac, ip, hostname: unstarred(hostname), clientId: unstarred(clientId), expires: Number(expires) },
    ];
  });
}

export function isCurrent(lease: Lease, now: Date): boolean {
  return lease.expires === 0 || lease.expires * 1000 > now.getTime();
}

function unstarred(text: string): string | null {
  return text === '*' ? null : text;
}
