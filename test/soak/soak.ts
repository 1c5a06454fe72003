// soak.ts: executes random actions on a private host and checks the invariants after each.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { virlan } from '../sandbox/host.ts';
import { watcherPid } from '../sandbox/watcher.ts';
import { chooseAction } from './actions.ts';
import { checkInvariants } from './invariants.ts';
import { makeWorld } from './world.ts';

/** The limit of the watcher's memory. */
const maxMemoryMib = 110;

/** The limit of the growth of its memory after the warm-up. */
const maxGrowthMib = 15;

/** The number of steps after which the memory of a watcher is compared. */
const warmUpSteps = 10;

/**
 * Executes actions for some seconds, chosen by the seed, and checks the invariants after each. Throws an
 * Error with the seed and the step for the first failure.
 */
export async function soak(seed: number, seconds: number, say: (line: string) => void): Promise<void> {
  say(`seed ${seed}`);
  const world = await makeWorld(seed);
  const end = performance.now() + seconds * 1000;
  const counts = new Map<string, number>();
  /** The memory of the current watcher after each step. */
  let memoryMib: number[] = [];
  let pid = watcherPid();
  for (let step = 1; performance.now() < end; step++) {
    const action = chooseAction(world);
    try {
      const began = performance.now();
      const object = await action.act(world);
      await checkInvariants(world);
      const took = ((performance.now() - began) / 1000).toFixed(1);
      if (watcherPid() !== pid) memoryMib = [];
      pid = watcherPid();
      memoryMib.push(memoryMibOf(pid));
      say(
        `${step}. ${action.name}${object === '' ? '' : `: ${object}`} (${took} s, ${memoryMib.at(-1)?.toFixed(0)} MiB)`,
      );
      checkMemory(memoryMib);
      counts.set(action.name, (counts.get(action.name) ?? 0) + 1);
    } catch (error) {
      throw new Error(
        `seed ${seed}, step ${step}, ${action.name}: ${(error as Error).stack}\n${await stateReport()}`,
      );
    }
  }
  say([...counts].map(([name, count]) => `${count} × ${name}`).join(', '));
}

/** Returns the plan, the status and the last lines of the log. */
async function stateReport(): Promise<string> {
  const outcomes = [await virlan('plan'), await virlan('status')];
  const log = readFileSync('/var/log/virlan.log', 'utf8').trimEnd().split('\n').slice(-20);
  return [...outcomes.map(({ stdout, stderr }) => `${stdout}${stderr}`), ...log].join('\n');
}

function checkMemory(memoryMib: readonly number[]): void {
  const nowMib = memoryMib.at(-1) ?? 0;
  assert(nowMib < maxMemoryMib, `the watcher takes ${nowMib} MiB`);
  const warmedUp = memoryMib.slice(warmUpSteps, 2 * warmUpSteps);
  if (memoryMib.length <= 2 * warmUpSteps) return;
  assert(
    nowMib < Math.max(...warmedUp) + maxGrowthMib,
    `the watcher took ${Math.max(...warmedUp)} MiB, and takes ${nowMib}`,
  );
}

/** Returns the resident memory of a process. */
function memoryMibOf(pid: number): number {
  const [, kilobytes = ''] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) / 1024;
}
