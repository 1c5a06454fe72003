// A line of the log, and the lines about reservations. A file of its own: a machine's first start waits for
// one, and the words of all other lines are five times as much code.
import { formatIp } from '../address/ip.ts';
import { problemText, refusedAliasText } from '../identity/problem-text.ts';
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

/** Returns the line of an event of the kind `reservation`. */
export function reservationLine(event: ReserveEvent): LogLine {
  const { network, name, uuid, nic, macs, ip, hostname, aliases, boot } = event.entry;
  const address = ip === null ? null : formatIp(ip);
  const fields = {
    ...{ network, machine: name, uuid, nic, mac: macs[0], ip: address, hostname, aliases },
    boot: boot?.url,
  };
  switch (event.kind) {
    case 'reserved':
      return info('address reserved', fields);
    case 'changed':
      return info('reservation changed', fields);
    case 'alias-refused':
      return warning(refusedAliasText(event.refused), fields);
    case 'problem':
      return warning(problemText(event.problem), fields);
  }
}
