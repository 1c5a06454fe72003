// `virlan expel ADDRESS`: removes a host that died for good from the ledger that hosts share.
import { parseIpv4 } from '../address/ip.ts';
import type { Values } from '../cli/options.ts';
import { print, printJson } from '../cli/terminal.ts';
import { loadConfig } from '../config/load.ts';
import { VirlanError } from '../errors.ts';
import { type Expelled, expelHost } from '../operations/expel-host.ts';
import { forTerminal } from '../text.ts';

/** Removes a host. Returns the exit code. */
export async function expel({ config, json, withMachines }: Values, address: string): Promise<number> {
  const host = parseIpv4(address);
  if (host === null)
    throw new VirlanError(
      'usage',
      `expel: ${JSON.stringify(address)} is no IPv4 address; usage: virlan expel ADDRESS`,
    );
  const expelled = await expelHost(loadConfig(config), host, withMachines ? 'drop' : 'keep');
  if (json) printJson({ host: address, networks: expelled });
  else print(...expelled.flatMap(part => linesOf(address, part)));
  return 0;
}

function linesOf(address: string, { network, blocks, kept, dropped }: Expelled): string[] {
  const machines = (consequence: string, names: readonly string[]) =>
    names.length === 0 ? [] : [forTerminal(`  ${consequence}: ${names.join(', ')}`)];
  return [
    `${address} is no longer a host of ${network}; blocks of addresses that are free: ${blocks}`,
    ...machines('machines that keep their reservations', kept),
    ...machines('machines that are forgotten', dropped),
  ];
}
