// The watcher process: start, stop, requests to its socket.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import type { NetworkStatus } from '../../src/report/status.ts';
import { followStatus } from '../../src/watcher/socket/client.ts';
import { busyness, until } from './until.ts';

let watcher: ChildProcess | undefined;

/** Starts `virlan watch`. */
export function startWatcherProcess(): ChildProcess {
  watcher = spawn('/usr/sbin/virlan', ['watch'], { stdio: ['ignore', 'inherit', 'inherit'] });
  return watcher;
}

/** Starts `virlan watch` and resolves when it is connected to libvirt. libvirtd must run. */
export async function startWatcher(): Promise<void> {
  const ended = once(startWatcherProcess(), 'exit');
  await Promise.race([
    until(async () => (await watcherStatus())?.watcher.libvirt === 'connected', 60),
    ended.then(() => Promise.reject(new Error('virlan watch exited at its start'))),
  ]);
}

/** Sends the watcher a signal and resolves when it has exited. */
export async function stopWatcher(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (watcher === undefined) throw new Error('the watcher was not started');
  if (watcher.exitCode !== null) throw new Error(`the watcher has exited with ${watcher.exitCode}`);
  const ended = once(watcher, 'exit');
  watcher.kill(signal);
  await ended;
  watcher = undefined;
}

/** Returns the PID of the watcher that startWatcher() started. */
export function watcherPid(): number {
  if (watcher?.pid === undefined) throw new Error('the watcher was not started');
  return watcher.pid;
}

/** Returns the watcher's answer to a GET request. Throws if there is none: no test passes for lack of an answer. */
export async function answerOf(path: string): Promise<string> {
  const answer = await ask('GET', path, '', 30_000);
  if (answer === null) throw new Error(`the watcher does not answer GET ${path}`);
  return answer;
}

/** Returns the watcher's answer to a GET request, or null if it does not answer within two seconds. */
export function get(path: string): Promise<string | null> {
  return ask('GET', path, '', 2000);
}

/**
 * Resolves with the first network in the watcher's status, as soon as that meets the condition; throws if it does
 * not within the time limit. The status is followed, not asked for again and again.
 */
export async function statusWhen(
  condition: (network: NetworkStatus) => boolean,
  timeoutSeconds: number,
): Promise<NetworkStatus> {
  const limit = AbortSignal.timeout(Math.ceil(timeoutSeconds * busyness() * 1000));
  for await (const followed of followStatus(limit)) {
    const network = followed.kind === 'read' ? followed.status.networks[0] : undefined;
    if (network !== undefined && condition(network)) return network;
  }
  throw new Error(`the status has not become as awaited in time: ${condition}`);
}

/** Resolves when the watcher has processed all events of machines. A machine of this name must exist. */
export async function idle(machine: string): Promise<void> {
  if ((await ask('POST', '/reconcile', machine, 30_000)) !== 'done\n')
    throw new Error('the watcher has not processed all events');
}

function ask(method: string, path: string, body: string, timeoutMs: number): Promise<string | null> {
  return new Promise(resolve => {
    const message = request(
      { socketPath: '/run/virlan/socket', method, path, timeout: timeoutMs },
      async response => {
        const chunks = await response.toArray();
        void resolve(Buffer.concat(chunks).toString());
      },
    );
    message.on('error', () => resolve(null));
    message.on('timeout', () => message.destroy());
    message.end(body);
  });
}

interface WatcherStatus {
  readonly watcher: { readonly libvirt: string };
  readonly networks: readonly { readonly problems: readonly string[] }[];
}

async function watcherStatus(): Promise<WatcherStatus | null> {
  const text = await get('/status');
  return text === null ? null : JSON.parse(text);
}
