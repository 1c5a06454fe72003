// What the watcher answers on its socket: hooks and the command line ask there.
import type { HookOutcome } from '../operations/hook-outcome.ts';
import type { Status } from '../report/status.ts';
import { type Answer, plainText, type Routes } from './answers.ts';

/** The work behind the routes. */
export interface RouteHandlers {
  /** Called around each hook; reports the outcome's events. */
  timeHook(hook: string, work: () => Promise<HookOutcome>): Promise<HookOutcome>;
  prepareMachine(xml: string): Promise<HookOutcome>;
  plugNic(xml: string): Promise<HookOutcome>;
  startDaemon(): Promise<HookOutcome>;
  /** Compares a machine again because its reservation changed without an event. False while libvirt is not connected. */
  settleMachine(name: string): Promise<boolean>;
  status(): Promise<Status>;
  metrics(): Promise<{ type: string; body: string }>;
}

export function createRoutes(handlers: RouteHandlers): Routes {
  const hook = (name: string, work: (xml: string) => Promise<HookOutcome>) => async (body: string) =>
    text(hookAnswer(await handlers.timeHook(name, () => work(body))));
  return new Map([
    ['GET /ping', async () => text('virlan\n')],
    ['POST /hook/qemu/prepare', hook('qemu prepare', xml => handlers.prepareMachine(xml))],
    ['POST /hook/network/port-created', hook('network port-created', xml => handlers.plugNic(xml))],
    ['POST /hook/daemon/start', hook('daemon start', () => handlers.startDaemon())],
    [
      'POST /settle',
      async name => text((await handlers.settleMachine(name)) ? 'done\n' : 'libvirt is not connected\n'),
    ],
    ['GET /status', async () => json(await handlers.status())],
    ['GET /metrics', async () => ({ status: 200, ...(await handlers.metrics()) })],
  ]);
}

/** One line for the hook script, which is read by the shell: see hooks/qemu. */
function hookAnswer({ abort }: HookOutcome): string {
  return abort === null ? 'start\n' : `abort ${abort.message.replaceAll('\n', ' ')}\n`;
}

function text(body: string): Answer {
  return { status: 200, type: plainText, body };
}

function json(value: unknown): Answer {
  return { status: 200, type: 'application/json', body: `${JSON.stringify(value)}\n` };
}
