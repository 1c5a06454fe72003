// `virlan adopt NAME`.

import type { Values } from '../cli/table.ts';
import { print, printJson } from '../cli/terminal.ts';
import { loadConfig } from '../config/load.ts';
import { runningDomains } from '../libvirt/definitions.ts';
import { adoptMachine } from '../operations/adopt.ts';

/** Has a machine that has booted get its formula MAC at its next cold start. */
export async function adopt({ config, json }: Values, name: string): Promise<number> {
  const adopted = await adoptMachine(loadConfig(config), name);
  const { requestWatcher } = await import('../watcher/client.ts');
  const isDone = (await requestWatcher('POST', '/settle', name))?.body === 'done\n';
  if (json) {
    const nics = adopted.map(({ network, nic }) => ({ network, nic }));
    printJson({ name, adopted: nics, watcher: isDone });
    return 0;
  }
  const isRunning = runningDomains().some(domain => domain.name === name);
  const when = isRunning ? 'when it is shut down' : 'now';
  print(
    `${name} gets the MAC of the formula ${isDone ? when : 'when the watcher runs and libvirt is there: "virlan watch"'}`,
  );
  return 0;
}
