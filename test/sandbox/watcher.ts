import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';

let watcher: ChildProcess | undefined;

/** Starts `virlan watch` and resolves when it is connected to libvirt; libvirtd has to run. */
export async function startWatcher(): Promise<void> {
  watcher = spawn('/usr/sbin/virlan', ['watch'], { stdio: ['ignore', 'inherit', 'inherit'] });
  const ended = once(watcher, 'exit');
  await Promise.race([
    until(async () => (await watcherStatus())?.watcher.libvirt === 'connected'),
    ended.then(() => Promise.reject(new Error('virlan watch ended at its start'))),
  ]);
}

/** Ends the watcher with a signal and resolves when it is gone. */
export async function stopWatcher(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (watcher === undefined) throw new Error('the watcher was not started');
  const ended = once(watcher, 'exit');
  watcher.kill(signal);
  await ended;
  watcher = undefined;
}

export function watcherPid(): number {
  if (watcher?.pid === undefined) throw new Error('the watcher was not started');
  return watcher.pid;
}

/** The watcher's answer to GET, or null when it gives none. */
export function get(path: string): Promise<string | null> {
  return ask('GET', path, '', 2000);
}

/** Resolves when the watcher has done all that it had to do about machines; one of this name has to be there. */
export async function idle(machine: string): Promise<void> {
  if ((await ask('POST', '/reconcile', machine, 30_000)) !== 'done\n')
    throw new Error('the watcher does not reconcile');
}

function ask(method: string, path: string, body: string, timeout: number): Promise<string | null> {
  return new Promise(resolve => {
    const message = request({ socketPath: '/run/virlan/socket', method, path, timeout }, async response => {
      const chunks = await response.toArray();
      void resolve(Buffer.concat(chunks).toString());
    });
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

/**
 * Resolves when the condition holds, and throws when it does not within a time. What the watcher does shows in many
 * places (files, libvirt, the kernel), of which no one event tells, so it is looked at in short steps.
 */
export async function until(condition: () => Promise<boolean> | boolean, seconds = 10): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not so after ${seconds} s: ${condition}`);
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}
