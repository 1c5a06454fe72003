// `virlan adopt NAME`: lets virlan change the MAC of a machine that has booted.
import type { Values } from '../cli/options.ts';
import { print, printJson } from '../cli/terminal.ts';
import { loadConfig } from '../config/load.ts';
import { runningDomains } from '../libvirt/definitions.ts';
import { adoptMachine } from '../operations/adopt.ts';

/**
 * Marks the MACs of a machine as due to become the formula's, and has the watcher act on it. Returns the exit
 * code.
 */
export async function adopt({ config, json }: Values, name: string): Promise<number> {
  const adopted = await adoptMachine(loadConfig(config), name);
  const { requestReconcile } = await import('../watcher/socket/client.ts');
  const isDone = (await requestReconcile(name)) === 'done';
  if (json) {
    const nics = adopted.map(({ network, nic }) => ({ network, nic }));
    printJson({ name, adopted: nics, watcher: isDone });
    return 0;
  }
  const isRunning = runningDomains().some(domain => domain.name === name);
  const when = isRunning ? 'when it is shut down' : 'now';
  print(
    isDone
      ? `${name} gets the MAC of the formula ${when}`
      : `${name} gets the MAC of the formula when "virlan watch" runs and libvirt is connected`,
  );
  return 0;
}
