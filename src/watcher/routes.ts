// The routes of the watcher's socket, such as `POST /hook/qemu/prepare`. hooks/ask.sh and client.ts send
// requests there.
import type { Writable } from 'node:stream';
import type { HookOutcome } from '../operations/hook-outcome.ts';
import type { Event } from '../report/event.ts';
import type { Status } from '../report/status.ts';
import { type Answer, type Handler, plainText, type Routes } from './answers.ts';

const jsonLines = 'application/x-ndjson';

/** The work of the routes. */
export interface RouteHandlers {
  /** Starts to measure a hook's time; the returned function stops. */
  startHookTimer(hook: string): () => void;
  report(events: readonly Event[]): void;
  prepareMachine(xml: string): Promise<HookOutcome>;
  guardMachine(xml: string): Promise<HookOutcome>;
  endForwards(xml: string): Promise<HookOutcome>;
  releaseMachine(xml: string): Promise<HookOutcome>;
  plugNic(xml: string): Promise<HookOutcome>;
  unplugNic(xml: string): Promise<HookOutcome>;
  updateNetwork(xml: string): Promise<HookOutcome>;
  startDaemon(): Promise<HookOutcome>;
  /**
   * Reconciles a machine whose reservation changed without an event. Returns false while libvirt is not
   * connected.
   */
  reconcileMachine(name: string): Promise<boolean>;
  status(): Promise<Status>;
  /** Writes the status as a line of JSON, now and after each change, until the output is closed. */
  follow(output: Writable): void;
  metrics(): Promise<{ type: string; body: string }>;
}

/** Returns the handlers of all routes. */
export function createRoutes(handlers: RouteHandlers): Routes {
  const hook = (name: string, work: (xml: string) => Promise<HookOutcome>) => async (body: string) => {
    const stopTimer = handlers.startHookTimer(name);
    const outcome = await work(body).catch(
      (error: Error): HookOutcome => ({ events: [{ kind: 'failed', during: 'hook', error }], abort: null }),
    );
    handlers.report(outcome.events);
    stopTimer();
    return text(hookAnswer(outcome));
  };
  return new Map<string, Handler>([
    ['GET /ping', async () => text('virlan\n')],
    ['POST /hook/qemu/prepare', hook('qemu prepare', xml => handlers.prepareMachine(xml))],
    ['POST /hook/qemu/start', hook('qemu start', xml => handlers.guardMachine(xml))],
    ['POST /hook/qemu/stopped', hook('qemu stopped', xml => handlers.releaseMachine(xml))],
    ['POST /hook/qemu/release', hook('qemu release', xml => handlers.endForwards(xml))],
    ['POST /hook/network/port-created', hook('network port-created', xml => handlers.plugNic(xml))],
    ['POST /hook/network/port-deleted', hook('network port-deleted', xml => handlers.unplugNic(xml))],
    ['POST /hook/network/updated', hook('network updated', xml => handlers.updateNetwork(xml))],
    ['POST /hook/daemon/start', hook('daemon start', () => handlers.startDaemon())],
    [
      'POST /reconcile',
      async name => text((await handlers.reconcileMachine(name)) ? 'done\n' : 'libvirt is not connected\n'),
    ],
    ['GET /status', async () => json(await handlers.status())],
    // For views, which may be of another version of virlan than the watcher: fields are only added.
    [
      'GET /v1/follow',
      async () => ({ type: jsonLines, writeTo: (output: Writable) => handlers.follow(output) }),
    ],
    ['GET /metrics', async () => ({ status: 200, ...(await handlers.metrics()) })],
  ]);
}

/** Returns the line that hooks/qemu reads: `start`, or `abort REASON`. */
function hookAnswer({ abort }: HookOutcome): string {
  return abort === null ? 'start\n' : `abort ${abort.message.replaceAll('\n', ' ')}\n`;
}

function text(body: string): Answer {
  return { status: 200, type: plainText, body };
}

function json(value: unknown): Answer {
  return { status: 200, type: 'application/json', body: `${JSON.stringify(value)}\n` };
}
