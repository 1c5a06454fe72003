// `virlan inventory`: prints the machines as a dynamic inventory of Ansible.
import type { Values } from '../cli/options.ts';
import { printJson } from '../cli/terminal.ts';
import { VirlanError } from '../errors.ts';
import { adviceFor } from '../names/nearest.ts';
import { inventoryOf } from '../report/inventory.ts';
import { currentStatus } from './current-status.ts';

/** Prints the inventory, or the variables of one of its hosts. Returns the exit code. */
export async function inventory({ config, host, list }: Values): Promise<number> {
  if (host !== null && list)
    throw new VirlanError(
      'usage',
      'inventory takes --list or --host, not both; see "virlan inventory --help"',
    );
  const found = inventoryOf(await currentStatus(config));
  const { hostvars } = found._meta;
  if (host === null) printJson(found);
  else if (Object.hasOwn(hostvars, host)) printJson(hostvars[host]);
  else {
    const advice = adviceFor(host, Object.keys(hostvars), 'virlan inventory --list');
    throw new VirlanError('unknown-machine', `the inventory has no host ${JSON.stringify(host)}: ${advice}`);
  }
  return 0;
}
