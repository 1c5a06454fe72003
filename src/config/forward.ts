// A port forward as text: `tcp/8443:443`, `udp/30000-30010`, `tcp/2222:22 on 192.0.2.5 from 10.0.0.0/8`.
import { formatIp, formatPrefix, type Ipv4, type Prefix, parseIpv4, prefixOf } from '../address/ip.ts';

/** Ports of the host that lead to ports of a machine. */
export interface Forward {
  readonly protocol: 'tcp' | 'udp';
  /** The host's ports, both ends included. */
  readonly first: number;
  readonly last: number;
  /** The port of the machine that `first` leads to; the ports after it follow in order. */
  readonly to: number;
  /** The address of the host; null for all. */
  readonly address: Ipv4 | null;
  /** The clients; null for all. */
  readonly from: Prefix<Ipv4> | null;
}

/**
 * Most ports of a range that leads to other ports. Each of them is an element of a map, since the kernel maps
 * only equal ranges as a whole.
 */
export const maxShiftedPorts = 256;

/** First and last port of a range, both included. */
export type PortSpan = Pick<Forward, 'first' | 'last'>;

/** Reads `8443` or `30000-30010`; null for anything else. */
export function parsePortSpan(text: string): PortSpan | null {
  const [, from = '', to = from] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const [first, last] = [Number(from), Number(to)];
  return first < 1 || last > 65_535 || first > last ? null : { first, last };
}

/** Reads an address with or without a prefix length; null if it has host bits or is of IPv6. */
export function parseClients(text: string): Prefix<Ipv4> | null {
  const [, written = '', bits = '32'] = /^([\d.]+)(?:\/(0|[1-9]\d?))?$/.exec(text) ?? [];
  const address = parseIpv4(written);
  if (address === null || Number(bits) > 32) return null;
  const prefix = prefixOf(address, Number(bits));
  return prefix.network === address ? prefix : null;
}

/** Returns a forward from its parts; null if the machine's ports are not as many as the host's, or too many. */
export function makeForward(
  { protocol, address, from }: Pick<Forward, 'protocol' | 'address' | 'from'>,
  ports: PortSpan,
  to: PortSpan,
): Forward | null {
  const count = ports.last - ports.first;
  const isShort = to.first === to.last && to.first + count <= 65_535;
  if (to.last - to.first !== count && !isShort) return null;
  if (to.first !== ports.first && count >= maxShiftedPorts) return null;
  return {
    protocol,
    ...ports,
    to: to.first,
    // Programs of the system leave out what means all, so that such a rule would never be found again.
    address: address === 0 ? null : address,
    from: from?.length === 0 ? null : from,
  };
}

const form = /^(tcp|udp)\/([\d-]{1,11})(?::([\d-]{1,11}))?(?:\s+on\s+(\S+))?(?:\s+from\s+(\S+))?$/;

/** Reads a forward; null for anything else. */
export function parseForward(text: string): Forward | null {
  const [, protocol, written = '', target, on, clients] = form.exec(text) ?? [];
  if (protocol !== 'tcp' && protocol !== 'udp') return null;
  const ports = parsePortSpan(written);
  const to = target === undefined ? ports : parsePortSpan(target);
  const address = on === undefined ? undefined : parseIpv4(on);
  const from = clients === undefined ? undefined : parseClients(clients);
  if (ports === null || to === null || address === null || from === null) return null;
  return makeForward({ protocol, address: address ?? null, from: from ?? null }, ports, to);
}

/** Returns the text of a forward, equal for equal forwards. */
export function formatForward({ protocol, first, last, to, address, from }: Forward): string {
  const target = to === first ? '' : `:${formatSpan({ first: to, last: to + last - first })}`;
  const on = address === null ? '' : ` on ${formatIp(address)}`;
  const clients = from === null ? '' : ` from ${formatPrefix(from)}`;
  return `${protocol}/${formatSpan({ first, last })}${target}${on}${clients}`;
}

/** Returns `8443` or `30000-30010`. */
export function formatSpan({ first, last }: PortSpan): string {
  return first === last ? `${first}` : `${first}-${last}`;
}
