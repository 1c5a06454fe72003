// Ethernet frames, byte by byte, and agents that send and see them (frame-agent.py).
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { type Namespace, run, within } from './namespaces.ts';
import { until } from './until.ts';
import { checkout } from './virlan.ts';

const agent = `${checkout}/test/sandbox/frame-agent.py`;

export type Bytes = readonly number[];

export const broadcast = 'ff:ff:ff:ff:ff:ff';

/** Returns the bytes of a MAC. */
export function macBytes(mac: string): Bytes {
  return mac.split(':').map(pair => Number.parseInt(pair, 16));
}

/** Returns the bytes of an IPv4 address. */
export function ip4Bytes(address: string): Bytes {
  return address.split('.').map(Number);
}

/** Returns the bytes of an IPv6 address, which has at most one `::`. */
export function ip6Bytes(address: string): Bytes {
  const [head = [], tail = []] = address
    .split('::')
    .map(half => half.split(':').filter(group => group !== ''));
  const groups = [...head, ...Array<string>(8 - head.length - tail.length).fill('0'), ...tail];
  return groups.flatMap(group => word(Number.parseInt(group, 16)));
}

/** Returns a link-local address that is made of a MAC. */
export function linkLocal(mac: string): string {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = macBytes(mac);
  const groups = [((a ^ 2) << 8) | b, (c << 8) | 0xff, 0xfe00 | d, (e << 8) | f];
  return `fe80::${groups.map(group => group.toString(16)).join(':')}`;
}

function word(number: number): Bytes {
  return [(number >> 8) & 0xff, number & 0xff];
}

export function frame(to: string, from: string, type: number, payload: Bytes): Bytes {
  return [...macBytes(to), ...macBytes(from), ...word(type), ...payload];
}

/** Returns a frame with tags of these VLANs before its type. */
export function tagged(plain: Bytes, ...vlans: readonly number[]): Bytes {
  const tags = vlans.flatMap(vlan => [...word(0x8100), ...word(vlan)]);
  return [...plain.slice(0, 12), ...tags, ...plain.slice(12)];
}

/** Returns a frame with a service tag (IEEE 802.1ad) of a VLAN before its type. */
export function serviceTagged(plain: Bytes, vlan: number): Bytes {
  return [...plain.slice(0, 12), ...word(0x88a8), ...word(vlan), ...plain.slice(12)];
}

/** Returns an ARP message: 1 asks, 2 answers. */
export function arp(
  operation: 1 | 2,
  sender: { mac: string; ip: string },
  target: { mac: string; ip: string },
): Bytes {
  const addresses = [sender, target].flatMap(({ mac, ip }) => [...macBytes(mac), ...ip4Bytes(ip)]);
  return [...word(1), ...word(0x800), 6, 4, ...word(operation), ...addresses];
}

export function ipv4(from: string, to: string, protocol: number, payload: Bytes, fragment = 0): Bytes {
  const header = (checksum: number) => [
    ...[0x45, 0, ...word(20 + payload.length), 0, 1, ...word(fragment), 64, protocol],
    ...word(checksum),
    ...ip4Bytes(from),
    ...ip4Bytes(to),
  ];
  return [...header(checksumOf(header(0))), ...payload];
}

/** Returns a datagram without a checksum, with a label. */
export function udp(from: number, to: number, payload: Bytes): Bytes {
  const data = [...payload, ...slot];
  return [...word(from), ...word(to), ...word(8 + data.length), 0, 0, ...data];
}

/** Returns a packet of IPv4 with a datagram, with its checksum and without a place for a label. */
export function validUdp(from: string, to: string, source: number, port: number, payload: Bytes): Bytes {
  const head = [...word(source), ...word(port), ...word(8 + payload.length)];
  const pseudo = [...ip4Bytes(from), ...ip4Bytes(to), 0, 17, ...word(8 + payload.length)];
  const checksum = checksumOf([...pseudo, ...head, 0, 0, ...payload]);
  return ipv4(from, to, 17, [...head, ...word(checksum), ...payload]);
}

export function ipv6(from: string, to: string, next: number, payload: Bytes): Bytes {
  const addresses = [...ip6Bytes(from), ...ip6Bytes(to)];
  return [0x60, 0, 0, 0, ...word(payload.length), next, 255, ...addresses, ...payload];
}

/** Returns a packet of IPv6 with a header of options, which has a place for a label, between its own and the rest. */
export function behindOptions(packet: Bytes): Bytes {
  const [next = 0] = packet.slice(6, 7);
  const options = [next, 2, 1, 20, ...slot, 0, 0];
  const length = packet.length - 40 + options.length;
  return [
    ...packet.slice(0, 4),
    ...word(length),
    60,
    ...packet.slice(7, 40),
    ...options,
    ...packet.slice(40),
  ];
}

/** Returns a packet of IPv6 with the header that messages of MLD have (RFC 2710): it makes routers look at them. */
export function withRouterAlert(packet: Bytes): Bytes {
  const [next = 0] = packet.slice(6, 7);
  const options = [next, 0, 5, 2, 0, 0, 1, 0];
  const length = packet.length - 40 + options.length;
  return [...packet.slice(0, 4), ...word(length), 0, ...packet.slice(7, 40), ...options, ...packet.slice(40)];
}

/** Returns a packet of IPv6 with an authentication header (RFC 4302) of nobody's between its own and the rest. */
export function behindAuthentication(packet: Bytes): Bytes {
  const header = [...packet.slice(6, 7), 2, ...Array<number>(14).fill(0)];
  const length = packet.length - 40 + header.length;
  return [...packet.slice(0, 4), ...word(length), 51, ...packet.slice(7, 40), ...header, ...packet.slice(40)];
}

/** Returns a frame whose type is behind headers of LLC and SNAP (RFC 1042), with a field for their length. */
export function snap(plain: Bytes, oui: Bytes = [0, 0, 0], length = plain.length - 14 + 8): Bytes {
  return [...plain.slice(0, 12), ...word(length), 0xaa, 0xaa, 3, ...oui, ...plain.slice(12)];
}

/** Returns the bytes of a packet of IPv6 behind its header, from one up to another, as a fragment. */
export function fragment6(packet: Bytes, start: number, end = packet.length - 40): Bytes {
  const offset = start | (40 + end < packet.length ? 1 : 0);
  const payload = [0, ...word(offset), 0, 0, 0x12, 0x34, ...packet.slice(40 + start, 40 + end)];
  return [
    ...packet.slice(0, 4),
    ...word(payload.length + 1),
    44,
    ...packet.slice(7, 40),
    ...packet.slice(6, 7),
    ...payload,
  ];
}

/** Returns a message of IGMP, whose checksum is filled in. */
export function igmp(from: string, to: string, message: Bytes, fragment = 0): Bytes {
  return ipv4(from, to, 2, withChecksum(message), fragment);
}

/** Returns a message of ICMP or IGMP without a place for a label, and with its checksum. */
export function withChecksum(message: Bytes): Bytes {
  return [...message.slice(0, 2), ...word(checksumOf(message)), ...message.slice(4)];
}

/** Returns a report of IGMPv3 or MLDv2 that joins groups, each of which is given by its bytes. */
export function joins(type: 0x22 | 143, groups: readonly Bytes[]): Bytes {
  const toAnySource = 4;
  const records = groups.flatMap(group => [toAnySource, 0, 0, 0, ...group]);
  return [type, 0, 0, 0, 0, 0, ...word(groups.length), ...records];
}

/** Returns a message of neighbour discovery with a label in an option, and with its checksum before that. */
export function icmpv6(from: string, to: string, options: Bytes): Bytes {
  return validIcmpv6(from, to, [...options, 14, 3, ...slot, 0, 0, 0, 0]);
}

/** Returns a message of ICMPv6 without a place for a label, so that its checksum is right and the kernel takes it. */
export function validIcmpv6(from: string, to: string, message: Bytes): Bytes {
  const pseudo = [...ip6Bytes(from), ...ip6Bytes(to), 0, 0, ...word(message.length), 0, 0, 0, 58];
  const checksum = checksumOf([...pseudo, ...message]);
  return ipv6(from, to, 58, [...message.slice(0, 2), ...word(checksum), ...message.slice(4)]);
}

/** Returns a neighbour solicitation (135) or advertisement (136), with the MAC of its option if there is one. */
export function neighbour(type: 135 | 136, target: string, mac: string | null): Bytes {
  const option = mac === null ? [] : [type === 135 ? 1 : 2, 1, ...macBytes(mac)];
  return [type, 0, 0, 0, type === 136 ? 0x20 : 0, 0, 0, 0, ...ip6Bytes(target), ...option];
}

/** Returns a BOOTP message of a client, with a DHCP message type: 1 asks for offers, 4 declines, 7 releases. */
export function dhcpMessage(type: number, client: string, ip = '0.0.0.0', server = '0.0.0.0'): Bytes {
  const fields = [1, 1, 6, 0, 0, 0, 0, 1, 0, 0, 0, 0, ...ip4Bytes(ip), ...Array<number>(12).fill(0)];
  const names = Array<number>(10 + 64 + 128).fill(0);
  const options = [
    ...[0x63, 0x82, 0x53, 0x63, 53, 1, type],
    ...(type === 1 ? [] : [54, 4, ...ip4Bytes(server)]),
    ...(type === 4 ? [50, 4, ...ip4Bytes(ip)] : []),
    255,
  ];
  return [...fields, ...macBytes(client), ...names, ...options];
}

function checksumOf(bytes: Bytes): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

/** A text by which a frame is recognised wherever it arrives. */
function label(number: number): Bytes {
  return [...Buffer.from(`virlan-frame-${String(number).padStart(5, '0')}`)];
}

/**
 * The place of the label within a packet: bridges cut what is behind the end of one. It is put behind frames without
 * such a place.
 */
export const slot = label(0);
const slotHex = Buffer.from(slot).toString('hex');

function labelled(bytes: Bytes, number: number): string {
  const [hex, text] = [bytes, label(number)].map(each => Buffer.from(each).toString('hex'));
  return hex?.includes(slotHex) ? hex.replace(slotHex, text ?? '') : `${hex}${text}`;
}

let sent = 0;

/** Sends frames by a link of a namespace. Returns a number for each. */
export async function send(from: Namespace, frames: readonly Bytes[], link = 'eth0'): Promise<number[]> {
  const numbers = frames.map(() => ++sent);
  const texts = frames.map((bytes, index) => labelled(bytes, numbers[index] ?? 0));
  // A command line has a limit.
  for (let at = 0; at < texts.length; at += 50)
    await run(from, 'python3', agent, 'send', link, ...texts.slice(at, at + 50));
  return numbers;
}

export interface Sight {
  /** The numbers of the frames that came in so far. */
  readonly seen: ReadonlySet<number>;
  stop(): void;
}

/** Looks at the frames that come in by a link. Resolves when it does. */
export async function watchFrames(at: Namespace, link: string): Promise<Sight> {
  const process = spawn(...within(at, 'python3', [agent, 'watch', link]), {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const seen = new Set<number>();
  let isReady = false;
  createInterface(process.stdout).on('line', line => {
    if (line === 'ready') isReady = true;
    else seen.add(Number(line));
  });
  await until(() => isReady);
  return { seen, stop: () => void process.kill() };
}
