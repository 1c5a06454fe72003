// The hooks besides qemu's `prepare`, for which a machine's start waits most: each loads its own code.
import type { Config } from '../config/config.ts';
import type { HookOutcome } from './hook-outcome.ts';

/**
 * Handles a call of a hook that is not qemu's `prepare`. `readXml` and `readConfig` are called only where there is
 * work.
 */
export async function handleOtherHook(
  driver: string,
  operation: string,
  readXml: () => string,
  readConfig: () => Config,
): Promise<HookOutcome> {
  switch (`${driver} ${operation}`) {
    case 'qemu start': {
      const { guardMachine } = await import('./guard-machine.ts');
      return guardMachine(readXml(), readConfig());
    }
    case 'qemu stopped': {
      const { releaseMachine } = await import('./guard-machine.ts');
      return releaseMachine(readXml());
    }
    case 'qemu release': {
      const { endForwards } = await import('./sync-forwards.ts');
      return endForwards(readXml(), readConfig());
    }
    case 'network port-created': {
      const { plugNic } = await import('./plug-nic.ts');
      return plugNic(readXml(), readConfig());
    }
    case 'network port-deleted': {
      const { unplugNic } = await import('./plug-nic.ts');
      return unplugNic(readXml(), readConfig());
    }
    case 'network updated': {
      const { updateNetwork } = await import('./update-network.ts');
      return updateNetwork(readXml(), readConfig());
    }
    case 'daemon start':
    case 'daemon reload': {
      const { startDaemon } = await import('./start-daemon.ts');
      return startDaemon(readConfig());
    }
    default:
      return { events: [], abort: null };
  }
}
