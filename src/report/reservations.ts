import { formatIp } from '../address/ip.ts';
import type { ReserveEvent } from '../identity/reserve.ts';
import type { LogRecord } from './outcome.ts';

/** What was decided on a machine, as the log has it. */
export function reserveRecords(events: readonly ReserveEvent[]): LogRecord[] {
  return events.map(event => {
    const { network, name, uuid, nic, macs, ip, hostname } = event.entry;
    const address = ip === null ? null : formatIp(ip);
    const fields = { network, machine: name, uuid, nic, mac: macs[0], ip: address, hostname };
    return event.event === 'problem'
      ? { level: 'warn', message: event.problem, fields }
      : {
          level: 'info',
          message: event.event === 'reserved' ? 'address reserved' : 'reservation changed',
          fields,
        };
  });
}
