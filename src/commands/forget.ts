// `virlan forget NAME`: deletes the reservations of a machine.
import { formatIp } from '../address/ip.ts';
import type { Values } from '../cli/options.ts';
import { print, printJson } from '../cli/terminal.ts';
import { loadConfig } from '../config/load.ts';
import { forgetMachine } from '../operations/forget.ts';
import { forTerminal } from '../text.ts';

/** Deletes the reservations of a machine that is not running. Returns the exit code. */
export async function forget({ config, json }: Values, name: string): Promise<number> {
  const dropped = await forgetMachine(loadConfig(config), name);
  const addresses = dropped.map(({ ip }) => (ip === null ? null : formatIp(ip)));
  if (json) {
    const entries = dropped.map(({ network, nic, macs }, index) => ({
      network,
      nic,
      macs,
      ip: addresses[index] ?? null,
    }));
    printJson({ name, dropped: entries });
  } else {
    const texts = addresses.map(address => address ?? 'no address');
    print(`${forTerminal(name)} is forgotten: ${texts.join(', ')}`);
  }
  return 0;
}
