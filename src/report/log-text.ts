// A line of the log, and the lines about reservations that were made. A file of its own: a machine's first start
// waits for one, and the words of all other lines are five times as much code.
import { formatIp } from '../address/ip.ts';
import type { ReserveEvent } from '../identity/reserve.ts';

export interface LogLine {
  readonly level: 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export function info(message: string, fields: LogLine['fields']): LogLine {
  return { level: 'info', message, fields };
}

export function warning(message: string, fields: LogLine['fields']): LogLine {
  return { level: 'warn', message, fields };
}

export function failure(message: string, fields: LogLine['fields']): LogLine {
  return { level: 'error', message, fields };
}

/** Returns a line with the kind of its event, as the field `code`: programs that read the log branch on it. */
export function withCode(code: string, { level, message, fields }: LogLine): LogLine {
  return { level, message, fields: { code, ...fields } };
}

/** A reservation that was made or changed: the only lines that a machine's start writes. */
export type ReservationMade = Extract<ReserveEvent, { readonly kind: 'reserved' | 'changed' }>;

/** Returns whether an event is about a reservation that was made or changed. */
export function isMade(event: ReserveEvent): event is ReservationMade {
  return event.kind === 'reserved' || event.kind === 'changed';
}

/** Returns the line of such an event. */
export function reservationLine(event: ReservationMade): LogLine {
  const message = event.kind === 'reserved' ? 'address reserved' : 'reservation changed';
  return info(message, reservationFields(event));
}

/** Returns the fields of a line about a reservation. */
export function reservationFields({ entry }: Pick<ReserveEvent, 'entry'>): LogLine['fields'] {
  const { network, name, uuid, nic, macs, ip, hostname, aliases, boot } = entry;
  const address = ip === null ? null : formatIp(ip);
  return {
    ...{ network, machine: name, uuid, nic, mac: macs[0], ip: address, hostname, aliases },
    boot: boot?.url,
  };
}
