import { formatIp, type Ipv4, parseIpv4 } from '../address/ip.ts';
import { type Mac, parseMac } from '../address/mac.ts';
import { isLabel } from '../names/label.ts';
import type { Result } from '../result.ts';

/**
 * The comment that marks a line of virlan's. A line without it was written by hand, is kept to the letter, and goes
 * first. It is no tag (`set:virlan`), which would say the same to dnsmasq: 2.90 crashes on SIGHUP when a machine with a
 * tag in its line holds a lease.
 */
const mark = ' # virlan';

/** The comment that marks the line of a probe. To all else it is one written by hand, so that nobody is given its address. */
const probeMark = ' # virlan-probe';

/** What one line of a dnsmasq hostsfile promises. */
export interface Reservation {
  readonly macs: readonly Mac[];
  readonly ip: Ipv4;
  readonly hostname: string;
}

/** A line written by hand, as far as virlan has to keep out of its way. */
export interface HandLine {
  readonly macs: readonly Mac[];
  readonly ip: Ipv4 | null;
  readonly hostname: string | null;
}

/** A hostsfile: its lines, of which virlan owns those with its mark. */
export interface Hostsfile {
  readonly ours: readonly string[];
  readonly byHand: readonly string[];
}

/** Refuses what dnsmasq could not have been meant to read, so that it is never written over. */
export function parseHostsfile(text: string): Result<Hostsfile> {
  const ours: string[] = [];
  const byHand: string[] = [];
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  for (const line of lines) (line.endsWith(mark) ? ours : byHand).push(line);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  const damage = byHand.find(line => /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]/.test(line));
  if (damage === undefined) return { ok: true, value: { ours, byHand } };
  return { ok: false, error: `line ${lines.indexOf(damage) + 1} holds bytes that are no text` };
}

export function formatHostsfile(hostsfile: Hostsfile): string {
  const lines = [...hostsfile.byHand, ...hostsfile.ours];
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

/** `id:*` makes dnsmasq go by the MAC alone, so that clones with one machine-id keep apart. */
export function reservationLine(reservation: Reservation): string {
  return `${promise(reservation)}${mark}`;
}

function promise({ macs, ip, hostname }: Reservation): string {
  return [...macs, 'id:*', formatIp(ip), hostname].join(',');
}

/** The file with this line of a probe's and no other one; with a null, with none. Null where nothing changes. */
export function withProbe(hostsfile: Hostsfile, probe: Reservation | null): Hostsfile | null {
  const wanted = probe === null ? [] : [`${promise(probe)}${probeMark}`];
  const found = hostsfile.byHand.filter(line => line.endsWith(probeMark));
  if (found.join('\n') === wanted.join('\n')) return null;
  const others = hostsfile.byHand.filter(line => !line.endsWith(probeMark));
  return { ...hostsfile, byHand: [...others, ...wanted] };
}

/** The file with these lines of virlan's instead of those it has; null where they are the same, in whatever order. */
export function withReservations(hostsfile: Hostsfile, lines: readonly string[]): Hostsfile | null {
  const wanted = new Set(lines);
  const same = hostsfile.ours.length === wanted.size && hostsfile.ours.every(line => wanted.has(line));
  return same ? null : { byHand: hostsfile.byHand, ours: [...wanted] };
}

/** The file with these reservations put in place of any line of virlan's with one of their MACs or addresses; null where nothing changes. */
export function withReservation(
  hostsfile: Hostsfile,
  reservations: readonly Reservation[],
): Hostsfile | null {
  const wanted = [...new Set(reservations.map(reservationLine))];
  const displaced = reservations.flatMap(({ macs, ip }) => [
    ...macs.map(mac => `${mac},`),
    `,${formatIp(ip)},`,
  ]);
  const others = hostsfile.ours.filter(line => !wanted.includes(line));
  const kept = others.filter(line => !displaced.some(field => line.includes(field)));
  if (kept.length === others.length && wanted.every(line => hostsfile.ours.includes(line))) return null;
  return { byHand: hostsfile.byHand, ours: [...kept, ...wanted] };
}

/** What the lines written by hand speak for. Syntax: dnsmasq(8), --dhcp-host. */
export function handLines(hostsfile: Hostsfile): HandLine[] {
  return hostsfile.byHand.flatMap(line => {
    const fields = line
      .replace(/(^|\s)#.*$/, '')
      .split(',')
      .map(field => field.trim());
    const macs = fields.flatMap(field => parseMac(field) ?? []);
    const ip = fields.map(parseIpv4).find(address => address !== null) ?? null;
    const hostname = fields.map(field => field.toLowerCase()).find(isLabel) ?? null;
    return macs.length === 0 && ip === null && hostname === null ? [] : [{ macs, ip, hostname }];
  });
}
