// The ports of the host that others use: sockets in /proc/net/{tcp,udp}{,6}, and libvirt's ranges in qemu.conf.
//
//   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
//    0: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21312 1 …
import { formatIp, type Ipv4, parseIpv4, prefixContains, prefixOf } from '../address/ip.ts';
import type { Forward } from '../config/forward.ts';
import type { Listener } from './problem.ts';

/** TCP_LISTEN and, of UDP, TCP_CLOSE: not connected (include/net/tcp_states.h). */
const states: Readonly<Record<Listener['protocol'], string>> = { tcp: '0A', udp: '07' };

/**
 * Reads the listening sockets in a file of /proc/net. Sockets of IPv6 count where they accept IPv4: on `::`,
 * which is `0.0.0.0` here too unless the program says otherwise, and on IPv4 addresses.
 */
export function parseListeners(protocol: Listener['protocol'], text: string): Listener[] {
  const form =
    /^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) \S+ ([0-9A-F]{2}) (?:\S+ ){3}\s*\S+\s+\S+ (\d+)/;
  return text.split('\n').flatMap(line => {
    const [, written = '', port = '', state, inode = ''] = form.exec(line) ?? [];
    const address = state === states[protocol] ? parseAddress(written) : null;
    return address === null ? [] : [{ protocol, address, port: Number.parseInt(port, 16), inode }];
  });
}

/** The kernel prints the words of an address in the byte order of the host, which is little endian here. */
function parseAddress(hex: string): string | null {
  const bytes = (word: string) => (word.match(/../g) ?? []).reverse().map(byte => Number.parseInt(byte, 16));
  if (hex.length === 8) return bytes(hex).join('.');
  if (/^0{32}$/.test(hex)) return '::';
  return /^0{16}FFFF0000/.test(hex) ? bytes(hex.slice(24)).join('.') : null;
}

/** The addresses of the host that its own programs alone reach. */
export const loopback = prefixOf(parseIpv4('127.0.0.0') as Ipv4, 8);

/** Returns whether a socket receives what a forward would lead to a machine. */
export function isInTheWay(listener: Listener, forward: Forward, localhost: boolean): boolean {
  const { protocol, first, last, address } = forward;
  if (listener.protocol !== protocol || listener.port < first || listener.port > last) return false;
  if (listener.address === '::' || listener.address === '0.0.0.0') return true;
  if (address !== null) return listener.address === formatIp(address);
  const own = parseIpv4(listener.address);
  return own === null || localhost || !prefixContains(loopback, own);
}

/** Ports that a setting of qemu.conf gives to libvirt. */
export interface LibvirtPorts {
  readonly setting: string;
  readonly first: number;
  readonly last: number;
}

/** The ranges of qemu.conf, with libvirt's defaults for the end that is not set (qemu_conf.c). */
const ranges = [
  ['remote_display_port', 5900, 65_535],
  ['remote_websocket_port', 5700, 65_535],
  ['migration_port', 49_152, 49_215],
] as const;

/**
 * Reads the ranges that an administrator has set. The defaults, which include half of all ports, do not
 * count: a display in use listens.
 */
export function parseLibvirtPorts(text: string): LibvirtPorts[] {
  const readPort = (key: string) => {
    const [, value] = new RegExp(`^\\s*${key}\\s*=\\s*(\\d{1,5})`, 'm').exec(text) ?? [];
    return value === undefined ? null : Number(value);
  };
  return ranges.flatMap(([name, min, max]) => {
    const [first, last] = [readPort(`${name}_min`), readPort(`${name}_max`)];
    return first === null && last === null
      ? []
      : [{ setting: `${name}_${first === null ? 'max' : 'min'}`, first: first ?? min, last: last ?? max }];
  });
}
