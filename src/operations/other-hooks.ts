// The hooks besides qemu's `prepare`, for which a machine's start waits most: each loads its own code.
import type { Config } from '../config/config.ts';
import { findHook, type HookName } from '../libvirt/hook-names.ts';
import type { HookOutcome } from './hook-outcome.ts';

/** The input of a hook. It is read only where there is work. */
export interface HookInput {
  readXml(): string;
  readConfig(): Config;
}

type OtherHook = Exclude<HookName, 'qemu prepare'>;

const handlers: Readonly<Record<OtherHook, (input: HookInput) => Promise<HookOutcome>>> = {
  'qemu start': async ({ readXml, readConfig }) => {
    const { guardMachine } = await import('./guard-machine.ts');
    return guardMachine(readXml(), readConfig());
  },
  'qemu stopped': async ({ readXml, readConfig }) => {
    const { machineStopped } = await import('./machine-stopped.ts');
    // Without the watcher nobody has seen whether it was paused all the time.
    await machineStopped(readXml(), readConfig, () => false);
    return { events: [], abort: null };
  },
  'qemu release': async ({ readXml, readConfig }) => {
    const { endForwards } = await import('./sync-forwards.ts');
    return endForwards(readXml(), readConfig());
  },
  'network port-created': async ({ readXml, readConfig }) => {
    const { plugNic } = await import('./plug-nic.ts');
    return plugNic(readXml(), readConfig());
  },
  'network port-deleted': async ({ readXml, readConfig }) => {
    const { unplugNic } = await import('./plug-nic.ts');
    return unplugNic(readXml(), readConfig());
  },
  'network updated': async ({ readXml, readConfig }) => {
    const { updateNetwork } = await import('./update-network.ts');
    return updateNetwork(readXml(), readConfig());
  },
  'daemon start': async ({ readConfig }) => {
    const { startDaemon } = await import('./start-daemon.ts');
    return startDaemon(readConfig());
  },
};

/** Handles a call of a hook that is not qemu's `prepare`. */
export async function handleOtherHook(
  driver: string,
  operation: string,
  input: HookInput,
): Promise<HookOutcome> {
  const hook = findHook(driver, operation);
  return hook === null || hook === 'qemu prepare' ? { events: [], abort: null } : handlers[hook](input);
}
