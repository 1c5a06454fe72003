// Continuous pings from a namespace, with a count of the lost ones.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { type Namespace, within } from './namespaces.ts';

const perSecond = 20;

export interface Pinger {
  /** Resolves at the next answer. Throws if there is none in time. */
  answer(timeoutSeconds: number): Promise<void>;
  /** Ends the pings. Returns how many were sent and how many of them were not answered. */
  stop(): Promise<{ lost: number; sent: number }>;
}

/** Pings an address from a namespace 20 times a second. Resolves at the first answer. */
export async function startPinging(namespace: Namespace, address: string): Promise<Pinger> {
  const args = ['-n', '-i', String(1 / perSecond), address];
  const ping: ChildProcessWithoutNullStreams = spawn(...within(namespace, 'ping', args));
  const lines = createInterface(ping.stdout);
  let text = '';
  lines.on('line', line => {
    text += `${line}\n`;
    if (line.includes(' bytes from ')) lines.emit('answer');
  });
  ping.stderr.resume();

  async function answer(timeoutSeconds: number): Promise<void> {
    await once(lines, 'answer', { signal: AbortSignal.timeout(timeoutSeconds * 1000) }).catch(() => {
      throw new Error(`no ping of ${address} answered in ${timeoutSeconds} s: ${text.slice(-300)}`);
    });
  }

  async function stop(): Promise<{ lost: number; sent: number }> {
    // The answer to the last ping arrives before the summary.
    await answer(5);
    const closed = once(lines, 'close');
    ping.kill('SIGINT');
    await closed;
    const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(text) ?? [];
    if (sent === undefined || received === undefined) throw new Error(`ping ${address}: ${text.slice(-300)}`);
    return { lost: Number(sent) - Number(received), sent: Number(sent) };
  }

  await answer(5);
  return { answer, stop };
}
