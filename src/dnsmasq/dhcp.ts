// Messages of DHCP (RFC 2131 and RFC 2132), as far as a probe and the release of leases need them.
import { formatIp, type Ipv4 } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import type { LeaseClient } from './leases.ts';

/** The DHCP message type of RFC 2132, section 9.6. */
export const dhcpType = { discover: 1, offer: 2, request: 3, ack: 5, nak: 6, release: 7 } as const;

/** The shortest lease of dnsmasq (calc_time in its rfc2131.c): the lease of a killed probe ends by itself. */
const leaseSeconds = 120;

/** Offsets and lengths of RFC 2131, section 2; the options begin after the magic cookie. */
const at = { transaction: 4, flags: 10, own: 12, offered: 16, hardware: 28, cookie: 236, options: 240 };
const minLength = 300;
const cookie = 0x63825363;

/** Options of RFC 2132. */
const optionCode = {
  pad: 0,
  requestedAddress: 50,
  leaseTime: 51,
  messageType: 53,
  server: 54,
  clientId: 61,
  end: 255,
};

export interface DhcpRequest {
  readonly type: number;
  readonly transaction: number;
  readonly mac: Mac;
  /** The address that is asked for. */
  readonly ip?: Ipv4;
  readonly server?: Ipv4;
}

export interface DhcpReply {
  readonly type: number;
  readonly transaction: number;
  readonly ip: string;
  readonly server: string | null;
}

/** Returns a client's message that asks for a broadcast answer, since the client has no address yet. */
export function encodeDhcp({ type, transaction, mac, ip, server }: DhcpRequest): Buffer {
  const message = request({ hardwareType: 1, hardware: Buffer.from(mac.replaceAll(':', ''), 'hex') }, [
    ...option(optionCode.messageType, [type]),
    ...option(optionCode.leaseTime, bytesOf(leaseSeconds)),
    ...(ip === undefined ? [] : option(optionCode.requestedAddress, bytesOf(ip))),
    ...(server === undefined ? [] : option(optionCode.server, bytesOf(server))),
  ]);
  message.writeUInt32BE(transaction, at.transaction);
  message.writeUInt16BE(0x8000, at.flags);
  return message;
}

/** Returns the message by which a client gives its lease back to a server, which does not answer. */
export function encodeRelease(client: LeaseClient, server: Ipv4): Buffer {
  const message = request(client, [
    ...option(optionCode.messageType, [dhcpType.release]),
    ...option(optionCode.server, bytesOf(server)),
    ...(client.clientId === null ? [] : option(optionCode.clientId, [...client.clientId])),
  ]);
  message.writeUInt32BE(client.ip, at.own);
  return message;
}

function request(
  { hardwareType, hardware }: Pick<LeaseClient, 'hardwareType' | 'hardware'>,
  options: readonly number[],
): Buffer {
  const message = Buffer.alloc(Math.max(minLength, at.options + options.length + 1));
  // The first is BOOTREQUEST.
  message.set([1, hardwareType, hardware.length]);
  hardware.copy(message, at.hardware);
  message.writeUInt32BE(cookie, at.cookie);
  message.set([...options, optionCode.end], at.options);
  return message;
}

/** Reads a server's reply; null for anything else. Hostile: any machine on the bridge may send it. */
export function decodeDhcp(message: Buffer): DhcpReply | null {
  if (message.length < at.options || message[0] !== 2 || message.readUInt32BE(at.cookie) !== cookie)
    return null;
  const options = parseOptions(message.subarray(at.options));
  const type = options.get(optionCode.messageType)?.[0];
  if (type === undefined) return null;
  const server = options.get(optionCode.server);
  return {
    type,
    transaction: message.readUInt32BE(at.transaction),
    ip: addressAt(message, at.offered),
    server: server?.length === 4 ? addressAt(server, 0) : null,
  };
}

/** Returns each option's value by its code, up to the end or to where the message is cut off. */
function parseOptions(bytes: Buffer): Map<number, Buffer> {
  const options = new Map<number, Buffer>();
  for (let offset = 0; offset + 1 < bytes.length && bytes[offset] !== optionCode.end; ) {
    const [code = 0, length = 0] = bytes.subarray(offset, offset + 2);
    if (code !== optionCode.pad) options.set(code, bytes.subarray(offset + 2, offset + 2 + length));
    offset += code === optionCode.pad ? 1 : 2 + length;
  }
  return options;
}

function option(code: number, value: readonly number[]): number[] {
  return [code, value.length, ...value];
}

function bytesOf(number: number): number[] {
  return [24, 16, 8, 0].map(shift => (number >>> shift) & 0xff);
}

function addressAt(bytes: Buffer, offset: number): string {
  return formatIp(bytes.readUInt32BE(offset) as Ipv4);
}
