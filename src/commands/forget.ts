// `virlan forget NAME`: deletes the reservations of a machine.
import { formatIp } from '../address/ip.ts';
import type { Values } from '../cli/table.ts';
import { print, printJson } from '../cli/terminal.ts';
import { loadConfig } from '../config/load.ts';
import { forgetMachine } from '../operations/forget.ts';

/** Deletes the reservations of a machine that is not running. Returns the exit code. */
export async function forget({ config, json }: Values, name: string): Promise<number> {
  const dropped = await forgetMachine(loadConfig(config), name);
  const addressText = (ip: (typeof dropped)[number]['ip']) => (ip === null ? 'no address' : formatIp(ip));
  if (json) {
    printJson({
      name,
      dropped: dropped.map(({ network, nic, macs, ip }) => ({ network, nic, macs, ip: addressText(ip) })),
    });
  } else print(`${name} is forgotten: ${dropped.map(({ ip }) => addressText(ip)).join(', ')}`);
  return 0;
}
