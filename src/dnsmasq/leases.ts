// Reads dnsmasq's leases file (lease_update_file in its lease.c).
//   1795000000 52:54:00:c5:f2:a7 192.168.100.155 web 01:52:54:00:c5:f2:a7
import { formatIp, type Ipv4, parseIpv4 } from '../address/ip.ts';
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

/** A lease as its client named itself to dnsmasq, which finds it again only by that: hostile. */
export interface LeaseClient {
  readonly ip: Ipv4;
  /** ARPHRD_… of linux/if_arp.h; 1 is Ethernet. */
  readonly hardwareType: number;
  readonly hardware: Buffer;
  readonly clientId: Buffer | null;
}

/** An address that is promised to these MACs. */
export interface PromisedAddress {
  readonly ip: Ipv4;
  readonly macs: readonly Mac[];
}

/**
 * Returns the leases of promised addresses to others than those that they are promised to. dnsmasq gives such
 * an address to nobody else while the lease lasts.
 */
export function leasesInTheWay(text: string, promised: readonly PromisedAddress[]): LeaseClient[] {
  const macsOf = new Map<string, Mac[]>();
  for (const { ip, macs } of promised)
    macsOf.set(formatIp(ip), [...(macsOf.get(formatIp(ip)) ?? []), ...macs]);
  return clientsIn(text, (address, mac) => {
    const macs = macsOf.get(address);
    return macs !== undefined && (mac === null || !macs.includes(mac));
  });
}

/** Returns the leases of a MAC. */
export function leasesOfMac(text: string, mac: Mac): LeaseClient[] {
  return clientsIn(text, (_, other) => other === mac);
}

/** `mac` is null for a client without an Ethernet address. */
function clientsIn(text: string, isMeant: (address: string, mac: Mac | null) => boolean): LeaseClient[] {
  return text.split('\n').flatMap(line => {
    const [, hardware = '', address = '', , clientId = '*'] = line.split(' ');
    if (!isMeant(address, parseMac(hardware))) return [];
    const ip = parseIpv4(address);
    const form = /^(?:([0-9a-f]{2})-)?((?:[0-9a-f]{2}:?){0,16})$/.exec(hardware);
    if (ip === null || form === null) return [];
    const [, type = '01', bytes = ''] = form;
    return [
      {
        ip,
        hardwareType: Number.parseInt(type, 16),
        hardware: bytesOf(bytes),
        clientId: clientId === '*' ? null : bytesOf(clientId),
      },
    ];
  });
}

function bytesOf(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(':', ''), 'hex');
}

function nullIfStar(text: string): string | null {
  return text === '*' ? null : text;
}

/** Addresses by the MAC that they are leased to. */
export type LeasedAddresses = ReadonlyMap<Mac, readonly Ipv4[]>;

/** Returns the addresses of leases. */
export function addressesByMac(leases: readonly Lease[]): LeasedAddresses {
  const addresses = new Map<Mac, Ipv4[]>();
  for (const { mac, ip } of leases) {
    const known = addresses.get(mac);
    if (known === undefined) addresses.set(mac, [ip]);
    else known.push(ip);
  }
  return addresses;
}
