import { formatIp, type Ipv4 } from '../../address/ip.ts';
import type { Mac } from '../../address/mac.ts';

/** RFC 2132, section 9.6: what a DHCP message is. */
export const dhcpType = { discover: 1, offer: 2, request: 3, ack: 5, nak: 6, release: 7 } as const;

/** The shortest lease that dnsmasq gives (calc_time in its rfc2131.c), in seconds: what a killed probe leaves ends by itself. */
const leaseSeconds = 120;

/** Offsets and lengths of RFC 2131, section 2; the options begin behind the magic cookie. */
const at = { transaction: 4, flags: 10, own: 12, offered: 16, hardware: 28, cookie: 236, options: 240 };
const leastLength = 300;
const cookie = 0x63825363;

export interface DhcpRequest {
  readonly type: number;
  readonly transaction: number;
  readonly mac: Mac;
  /** The address that is asked for, or given back. */
  readonly ip?: Ipv4;
  readonly server?: Ipv4;
}

export interface DhcpReply {
  readonly type: number;
  readonly transaction: number;
  readonly ip: string;
  readonly server: string | null;
}

/** A message of a DHCP client that hears broadcasts only, as one without an address has to. */
export function encodeDhcp({ type, transaction, mac, ip, server }: DhcpRequest): Buffer {
  const isRelease = type === dhcpType.release;
  const options = [
    ...option(53, [type]),
    ...(isRelease ? [] : option(51, bytesOf(leaseSeconds))),
    ...(ip === undefined || isRelease ? [] : option(50, bytesOf(ip))),
    ...(server === undefined ? [] : option(54, bytesOf(server))),
    255,
  ];
  const message = Buffer.alloc(Math.max(leastLength, at.options + options.length));
  // A request, over Ethernet, whose addresses have six bytes.
  message.set([1, 1, 6]);
  message.writeUInt32BE(transaction, at.transaction);
  if (isRelease && ip !== undefined) message.writeUInt32BE(ip, at.own);
  else message.writeUInt16BE(0x8000, at.flags);
  message.write(mac.replaceAll(':', ''), at.hardware, 'hex');
  message.writeUInt32BE(cookie, at.cookie);
  message.set(options, at.options);
  return message;
}

/** Reads a server's reply; null for what is none. Whatever is on the bridge may send it. */
export function decodeDhcp(message: Buffer): DhcpReply | null {
  if (message.length < at.options || message[0] !== 2 || message.readUInt32BE(at.cookie) !== cookie)
    return null;
  const options = new Map<number, Buffer>();
  for (let place = at.options; place + 1 < message.length && message[place] !== 255; ) {
    const [code = 0, length = 0] = message.subarray(place, place + 2);
    if (code !== 0) options.set(code, message.subarray(place + 2, place + 2 + length));
    place += code === 0 ? 1 : 2 + length;
  }
  const type = options.get(53)?.[0];
  if (type === undefined) return null;
  const server = options.get(54);
  return {
    type,
    transaction: message.readUInt32BE(at.transaction),
    ip: addressAt(message, at.offered),
    server: server?.length === 4 ? addressAt(server, 0) : null,
  };
}

function option(code: number, value: readonly number[]): number[] {
  return [code, value.length, ...value];
}

function bytesOf(number: number): number[] {
  return [24, 16, 8, 0].map(shift => (number >>> shift) & 0xff);
}

function addressAt(bytes: Buffer, place: number): string {
  return formatIp(bytes.readUInt32BE(place) as Ipv4);
}
