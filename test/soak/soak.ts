import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { virlan } from '../sandbox/host.ts';
import { watcherPid } from '../sandbox/watcher.ts';
import { chooseAction } from './actions.ts';
import { checkInvariants } from './invariants.ts';
import { makeWorld } from './world.ts';

/** What the watcher may take at most, in MiB. */
const mostMemory = 110;

/** How much more the watcher may take at the end than once it had been in use, in MiB. */
const growth = 15;

/** After so many steps a watcher has been in use. */
const warm = 10;

/**
 * Does what the seed says for some seconds, and looks after each step whether all is right. Throws what is not, with
 * the steps that led there.
 */
export async function soak(seed: number, seconds: number, say: (line: string) => void): Promise<void> {
  say(`seed ${seed}`);
  const world = await makeWorld(seed);
  const end = performance.now() + seconds * 1000;
  const counts = new Map<string, number>();
  /** Of one watcher, in MiB, after each step. */
  let memory: number[] = [];
  let pid = watcherPid();
  for (let step = 1; performance.now() < end; step++) {
    const action = chooseAction(world);
    try {
      const began = performance.now();
      const whom = await action.act(world);
      await checkInvariants(world);
      const took = ((performance.now() - began) / 1000).toFixed(1);
      if (watcherPid() !== pid) memory = [];
      pid = watcherPid();
      memory.push(memoryOf(pid));
      say(
        `${step}. ${action.name}${whom === '' ? '' : `: ${whom}`} (${took} s, ${memory.at(-1)?.toFixed(0)} MiB)`,
      );
      checkMemory(memory);
      counts.set(action.name, (counts.get(action.name) ?? 0) + 1);
    } catch (error) {
      throw new Error(
        `seed ${seed}, step ${step}, ${action.name}: ${(error as Error).stack}\n${await lastWords()}`,
      );
    }
  }
  say([...counts].map(([name, count]) => `${count} × ${name}`).join(', '));
}

/** What virlan has to say of the host as it is now. */
async function lastWords(): Promise<string> {
  const outcomes = [await virlan('plan'), await virlan('status')];
  const log = readFileSync('/var/log/virlan.log', 'utf8').trimEnd().split('\n').slice(-20);
  return [...outcomes.map(({ stdout, stderr }) => `${stdout}${stderr}`), ...log].join('\n');
}

function checkMemory(memory: readonly number[]): void {
  const now = memory.at(-1) ?? 0;
  assert(now < mostMemory, `the watcher takes ${now} MiB`);
  const inUse = memory.slice(warm, 2 * warm);
  if (memory.length <= 2 * warm) return;
  assert(now < Math.max(...inUse) + growth, `the watcher took ${Math.max(...inUse)} MiB, and takes ${now}`);
}

/** Of a process, in MiB. */
function memoryOf(pid: number): number {
  const [, kilobytes = ''] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) / 1024;
}
