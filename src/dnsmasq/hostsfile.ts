// dnsmasq's hostsfile: lines written by hand, then virlan's. Syntax: dnsmasq(8), --dhcp-host.
//   52:54:00:c5:f2:a7,id:*,192.168.100.155,web # virlan
import { formatIp, type Ipv4, isHostOf, parseIpv4 } from '../address/ip.ts';
import { type Mac, parseMac } from '../address/mac.ts';
import type { NetworkConfig } from '../config/config.ts';
import { isLabel } from '../names/label.ts';
import type { Result } from '../result.ts';
import type { PromisedAddress } from './leases.ts';

/**
 * The comment that marks virlan's lines; install/purge.sh has it too. A line without it was written by hand,
 * and is kept byte for byte. A tag (`set:virlan`) would do as well, but dnsmasq 2.90 crashes on SIGHUP when a
 * machine whose line has a tag holds a lease.
 */
export const reservationMark = ' # virlan';

/**
 * The comment that marks the line of a probe. It counts as written by hand, so that no machine gets its
 * address.
 */
const probeMark = ' # virlan-probe';

/** The content of a line: the address and the name for MACs. */
export interface Reservation {
  readonly macs: readonly Mac[];
  readonly ip: Ipv4;
  readonly hostname: string;
}

/** The content of a line written by hand: virlan must not give these to another NIC. */
export interface HandLine {
  readonly macs: readonly Mac[];
  readonly ip: Ipv4 | null;
  readonly hostname: string | null;
  readonly effect: HandLineEffect;
}

/**
 * The effect of a line on its MACs. `any-address`: the line has none, and dnsmasq gives any free one. `ignores`:
 * dnsmasq answers none of their requests. `none`: no machine of the network can have the address, and dnsmasq goes by
 * another line with the MAC (is_config_in_context in dhcp-common.c).
 */
export type HandLineEffect = 'serves' | 'any-address' | 'ignores' | 'none';

/** The part of a network's configuration that says which addresses machines can have. */
export type Addressing = Pick<NetworkConfig, 'subnet' | 'gateway'>;

/** Returns whether a machine of a network can have an address. */
export function isForMachines(address: Ipv4, { subnet, gateway }: Addressing): boolean {
  return isHostOf(subnet, address) && address !== gateway;
}

/** The lines of a hostsfile. `ours` have virlan's mark. */
export interface Hostsfile {
  readonly ours: readonly string[];
  readonly byHand: readonly string[];
  /** Lines that are not in the file: the values of `dhcp-host=` in the administrator's own files for dnsmasq. */
  readonly configured: readonly string[];
}

/** Reads a hostsfile. A file that is not text is an error, so that it is never overwritten. */
export function parseHostsfile(text: string): Result<Hostsfile> {
  const ours: string[] = [];
  const byHand: string[] = [];
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  for (const line of lines) (line.endsWith(reservationMark) ? ours : byHand).push(line);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it searches for them
  const damage = byHand.find(line => /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]/.test(line));
  if (damage === undefined) return { ok: true, value: { ours, byHand, configured: [] } };
  return { ok: false, error: `line ${lines.indexOf(damage) + 1} holds bytes that are not text` };
}

/** Returns the text of a hostsfile. */
export function formatHostsfile(hostsfile: Hostsfile): string {
  const lines = [...hostsfile.byHand, ...hostsfile.ours];
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

/** Returns virlan's line for a reservation. */
export function reservationLine(reservation: Reservation): string {
  return `${hostLine(reservation)}${reservationMark}`;
}

/** Returns one of virlan's lines without its mark. */
export function withoutMark(line: string): string {
  return line.endsWith(reservationMark) ? line.slice(0, -reservationMark.length) : line;
}

/**
 * Returns a line without a mark. `id:*` makes dnsmasq ignore the client id: clones with one machine-id are
 * told apart by MAC.
 */
function hostLine({ macs, ip, hostname }: Reservation): string {
  return [...macs, 'id:*', formatIp(ip), hostname].join(',');
}

/**
 * Returns the file with this line as its only line of a probe, or with none (`probe` is null). Null when
 * nothing changes.
 */
export function withProbe(hostsfile: Hostsfile, probe: Reservation | null): Hostsfile | null {
  const wanted = probe === null ? [] : [`${hostLine(probe)}${probeMark}`];
  const found = hostsfile.byHand.filter(line => line.endsWith(probeMark));
  if (found.join('\n') === wanted.join('\n')) return null;
  const others = hostsfile.byHand.filter(line => !line.endsWith(probeMark));
  return { ...hostsfile, byHand: [...others, ...wanted] };
}

/** Returns the file without the line of a probe. */
export function withoutProbe(hostsfile: Hostsfile): Hostsfile {
  return withProbe(hostsfile, null) ?? hostsfile;
}

/** Returns the file with these as virlan's lines; null when they are the same in any order. */
export function withReservations(hostsfile: Hostsfile, lines: readonly string[]): Hostsfile | null {
  const wanted = new Set(lines);
  const same = hostsfile.ours.length === wanted.size && hostsfile.ours.every(line => wanted.has(line));
  return same ? null : { ...hostsfile, ours: [...wanted] };
}

/**
 * Returns the file with these reservations, in place of virlan's lines that have one of their MACs or
 * addresses. Null when nothing changes.
 */
export function withReservation(
  hostsfile: Hostsfile,
  reservations: readonly Reservation[],
): Hostsfile | null {
  const wanted = [...new Set(reservations.map(reservationLine))];
  const displaced = new Set(reservations.flatMap(({ macs, ip }) => [...macs, formatIp(ip)]));
  const others = hostsfile.ours.filter(line => !wanted.includes(line));
  const kept = others.filter(
    line =>
      !withoutMark(line)
        .split(',')
        .some(field => displaced.has(field)),
  );
  if (kept.length === others.length && wanted.every(line => hostsfile.ours.includes(line))) return null;
  return { ...hostsfile, ours: [...kept, ...wanted] };
}

/** Returns the values of `dhcp-host=` in a configuration file of dnsmasq, which ignores quotes. */
export function configuredHosts(conf: string): string[] {
  const lines = conf.replaceAll('"', '').split('\n');
  return lines.flatMap(line => /^\s*dhcp-host\s*=\s*(.*)$/.exec(line)?.slice(1) ?? []);
}

/** Returns the content of the lines written by hand. */
export function handLines({ byHand, configured }: Hostsfile, network: Addressing): HandLine[] {
  return [...readLines(byHand, network), ...readConfigured(configured, network)];
}

/**
 * A configured line that has a MAC and no address leaves the MAC its reservation: dnsmasq takes the line that it has
 * read last, which is virlan's.
 */
function readConfigured(configured: readonly string[], network: Addressing): HandLine[] {
  return readLines(configured, network).filter(({ effect }) => effect !== 'any-address');
}

function readLines(lines: readonly string[], network: Addressing): HandLine[] {
  return lines.flatMap(line => {
    const fields = line
      .replace(/(^|\s)#.*$/, '')
      .split(',')
      .map(field => field.trim());
    const macs = fields.flatMap(field => parseHandMac(field) ?? []);
    const ip = fields.map(parseIpv4).find(address => address !== null) ?? null;
    // dnsmasq removes the domain of a name itself.
    const hostname = fields.map(field => field.toLowerCase().replace(/\..*/, '')).find(isLabel) ?? null;
    const effect = effectOf({ fields, macs, ip }, network);
    return macs.length === 0 && ip === null && hostname === null ? [] : [{ macs, ip, hostname, effect }];
  });
}

function effectOf(
  { fields, macs, ip }: Pick<HandLine, 'macs' | 'ip'> & { readonly fields: readonly string[] },
  network: Addressing,
): HandLineEffect {
  if (fields.includes('ignore')) return 'ignores';
  if (macs.length === 0) return 'serves';
  if (ip === null) return 'any-address';
  return isForMachines(ip, network) ? 'serves' : 'none';
}

/** Reads a MAC as dnsmasq does (parse_hex in util.c): also with its type before it, and with pairs of one digit. */
function parseHandMac(field: string): Mac | null {
  const pairs = field.replace(/^[\da-f]{1,2}-/i, '').split(':');
  return parseMac(pairs.map(pair => pair.padStart(2, '0')).join(':'));
}

/**
 * Returns the line that decides about a MAC: the first that dnsmasq follows, else the first; null when no line has the
 * MAC.
 */
export function lineOf(mac: Mac, lines: readonly HandLine[]): HandLine | null {
  const own = lines.filter(({ macs }) => macs.includes(mac));
  return own.find(({ effect }) => effect !== 'none') ?? own[0] ?? null;
}

/** Returns the addresses that all lines promise. */
export function promisedAddresses(hostsfile: Hostsfile, network: Addressing): PromisedAddress[] {
  return promisedBy(effectiveLines(hostsfile, network));
}

/** Returns the content of all lines by which dnsmasq answers a MAC, or ignores it. */
export function effectiveLines(hostsfile: Hostsfile, network: Addressing): HandLine[] {
  const lines = [...handLines(hostsfile, network), ...readLines(hostsfile.ours, network)];
  return lines.filter(({ effect }) => effect !== 'none');
}

/** Returns the addresses that lines promise to MACs. Of a line without a MAC nobody knows whom it means. */
export function promisedBy(lines: readonly Pick<HandLine, 'macs' | 'ip'>[]): PromisedAddress[] {
  const unclear = new Set(lines.filter(({ macs }) => macs.length === 0).map(({ ip }) => ip));
  return lines.flatMap(({ ip, macs }) => (ip === null || unclear.has(ip) ? [] : [{ ip, macs }]));
}
