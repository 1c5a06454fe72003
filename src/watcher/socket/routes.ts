// The routes of the watcher's socket, such as `POST /hook/qemu/prepare`. hooks/ask.sh and client.ts send
// requests there.
import type { Writable } from 'node:stream';
import { type HookName, hookNames } from '../../libvirt/hook-names.ts';
import type { HookOutcome } from '../../operations/hook-outcome.ts';
import type { Event } from '../../report/event.ts';
import type { Status } from '../../report/status.ts';
import { type Answer, type Handler, type Reply, type Routes, textAnswer } from './answers.ts';
import { formatReconcile } from './reconcile-answer.ts';

const jsonLines = 'application/x-ndjson';

/** By hook. Each is passed libvirt's XML. */
export type HookHandlers = Readonly<Record<HookName, (xml: string) => Promise<HookOutcome>>>;

/** The work of the routes. */
export interface RouteHandlers {
  /** Starts to measure a hook's time; the returned function stops. */
  startHookTimer(hook: HookName): () => void;
  report(events: readonly Event[]): void;
  readonly hooks: HookHandlers;
  /**
   * Reconciles a machine whose reservation changed without an event. Returns false while libvirt is not
   * connected.
   */
  reconcileMachine(name: string): Promise<boolean>;
  status(): Promise<Status>;
  /** Writes the status as a line of JSON, now and after each change, until the output is closed. */
  follow(output: Writable): void;
  metrics(): Promise<Answer>;
}

/** Returns the handlers of all routes. */
export function createRoutes(handlers: RouteHandlers): Routes {
  const answerHook = (name: HookName) => async (body: string) => {
    const stopTimer = handlers.startHookTimer(name);
    const outcome = await handlers.hooks[name](body).catch(
      (error: Error): HookOutcome => ({ events: [{ kind: 'failed', during: 'hook', error }], abort: null }),
    );
    handlers.report(outcome.events);
    stopTimer();
    return text(hookAnswer(outcome));
  };
  return new Map<string, Handler>([
    ['GET /ping', async () => text('virlan\n')],
    ...hookNames.map(name => [`POST /hook/${name.replace(' ', '/')}`, answerHook(name)] as const),
    [
      'POST /reconcile',
      async name => text(formatReconcile((await handlers.reconcileMachine(name)) ? 'done' : 'not-connected')),
    ],
    ['GET /status', async () => json(await handlers.status())],
    // For views, which may be of another version of virlan than the watcher: fields are only added.
    [
      'GET /v1/follow',
      async () => ({
        kind: 'stream',
        type: jsonLines,
        writeTo: (output: Writable) => handlers.follow(output),
      }),
    ],
    ['GET /metrics', async () => ({ kind: 'whole', answer: await handlers.metrics() })],
  ]);
}

/** Returns the line that hooks/qemu reads: `start`, or `abort REASON`. */
function hookAnswer({ abort }: HookOutcome): string {
  return abort === null ? 'start\n' : `abort ${abort.message.replaceAll('\n', ' ')}\n`;
}

function text(body: string): Reply {
  return { kind: 'whole', answer: textAnswer(200, body) };
}

function json(value: unknown): Reply {
  const body = `${JSON.stringify(value)}\n`;
  return { kind: 'whole', answer: { status: 200, type: 'application/json', body } };
}
