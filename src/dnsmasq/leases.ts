// Reads dnsmasq's leases file (lease_update_file in its lease.c).
//   1795000000 52:54:00:c5:f2:a7 192.168.100.155 web 01:52:54:00:c5:f2:a7
import { type Ipv4, parseIpv4 } from '../address/ip.ts';
import { type Mac, parseMac } from '../address/mac.ts';

/** One lease. The guest chose its host name and client id: hostile. */
export interface Lease {
  readonly mac: Mac;
  readonly ip: Ipv4;
  readonly hostname: string | null;
  readonly clientId: string | null;
  /** In seconds since 1970; 0 for an infinite lease. */
  readonly expires: number;
}

/** Reads the file without lines of another form, such as those of DHCPv6. */
export function parseLeases(text: string): Lease[] {
  return text.split('\n').flatMap(line => {
    const [expires = '', hardware = '', address = '', hostname = '*', clientId = '*'] = line.split(' ');
    const [mac, ip] = [parseMac(hardware), parseIpv4(address)];
    if (mac === null || ip === null || !/^\d{1,12}$/.test(expires)) return [];
    return [
      { mac, ip, hostname: nullIfStar(hostname), clientId: nullIfStar(clientId), expires: Number(expires) },
    ];
  });
}

/** Returns whether a lease has not expired. */
export function isCurrent(lease: Lease, now: Date): boolean {
  return lease.expires === 0 || lease.expires * 1000 > now.getTime();
}

function nullIfStar(text: string): string | null {
  return text === '*' ? null : text;
}
