import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { systemPath } from '../../system/paths.ts';
import { run, runOrNull } from '../../system/run.ts';
import { counterTable, removeCounters } from './counters.ts';

/** How long the kernel is listened to at most, in milliseconds. */
const patience = 9000;

/**
 * What the kernel tells of the packets that `act` sends, while a table that has it do so is loaded: lines of `nft monitor`.
 * Those that there are, when nft does not go on.
 */
export async function traced(table: string, act: () => Promise<unknown>): Promise<readonly string[]> {
  const monitor = spawn('nft', ['monitor'], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { PATH: systemPath, LC_ALL: 'C' },
    cwd: '/',
  });
  const timeUp = AbortSignal.timeout(patience);
  timeUp.addEventListener('abort', () => monitor.kill('SIGKILL'));
  monitor.on('error', () => monitor.stdout.destroy());
  const lines: string[] = [];
  const reader = createInterface(monitor.stdout).on('line', line => lines.push(line));
  const ended = once(reader, 'close').then(() => false);
  const said = async (start: string): Promise<boolean> => {
    while (!lines.some(line => line.startsWith(start))) {
      const next = once(reader, 'line', { signal: timeUp }).then(() => true);
      if (!(await Promise.race([next.catch(() => false), ended]))) return false;
    }
    return true;
  };
  try {
    // nft says nothing when it begins to listen, so it is given something to tell of until it does.
    const listens = said(`add table ip ${counterTable}`);
    do await run('nft', ['-f', '-'], table);
    while ((await Promise.race([listens, pause(100, null)])) === null);
    await act();
    await runOrNull('nft', ['-f', '-'], removeCounters);
    await said(`delete table ip ${counterTable}`);
  } finally {
    monitor.kill('SIGKILL');
    await ended;
  }
  return lines;
}
