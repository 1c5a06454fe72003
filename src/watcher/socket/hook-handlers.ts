// The watcher's answers to hooks, by libvirt's driver and operation.
import type { Config } from '../../config/config.ts';
import { plugNic, unplugNic } from '../../operations/plug-nic.ts';
import { endForwards } from '../../operations/sync-forwards.ts';
import { updateNetwork } from '../../operations/update-network.ts';
import type { MachineStarts } from '../machines/machine-starts.ts';
import { type AfterAnswer, answerDaemon } from './answer-daemon.ts';
import type { HookHandlers } from './routes.ts';

/** Returns the handlers, which throw VirlanError when the XML cannot be read. */
export function hookHandlers(
  config: () => Config,
  starts: MachineStarts,
  afterAnswer: AfterAnswer,
): HookHandlers {
  return {
    'qemu prepare': xml => starts.prepare(xml),
    'qemu start': xml => starts.start(xml),
    'qemu stopped': xml => starts.stopped(xml),
    'qemu release': xml => endForwards(xml, config()),
    'network port-created': xml => plugNic(xml, config()),
    'network port-deleted': xml => unplugNic(xml, config()),
    'network updated': xml => updateNetwork(xml, config()),
    'daemon start': () => answerDaemon(config(), afterAnswer),
  };
}
