// subject.ts: the soak of one host.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { virlan } from '../../sandbox/host.ts';
import { watcherPid } from '../../sandbox/watcher.ts';
import type { Subject } from '../soak.ts';
import { actions } from './actions.ts';
import { checkInvariants } from './invariants.ts';
import { makeWorld, type World } from './world.ts';

/** The limit of the watcher's memory. */
const maxMemoryMib = 110;

/** The limit of the growth of its memory after the warm-up. */
const maxGrowthMib = 15;

/** The number of steps after which the memory of a watcher is compared. */
const warmUpSteps = 10;

export const oneHost: Subject<World> = {
  makeWorld,
  actions,
  async check(world) {
    await checkInvariants(world);
    return checkMemory(world);
  },
  async end() {},
  report: stateReport,
};

/** Returns the plan, the status and the last lines of the log. */
async function stateReport(): Promise<string> {
  const outcomes = [await virlan('plan'), await virlan('status')];
  const log = readFileSync('/var/log/virlan.log', 'utf8').trimEnd().split('\n').slice(-20);
  return [...outcomes.map(({ stdout, stderr }) => `${stdout}${stderr}`), ...log].join('\n');
}

/** Checks the memory of the current watcher, and returns it. */
function checkMemory({ memory }: World): string {
  const pid = watcherPid();
  if (memory.pid !== pid) memory.mib = [];
  memory.pid = pid;
  const nowMib = memoryMibOf(pid);
  memory.mib.push(nowMib);
  assert(nowMib < maxMemoryMib, `the watcher takes ${nowMib} MiB`);
  if (memory.mib.length > 2 * warmUpSteps) {
    const warmMib = Math.max(...memory.mib.slice(warmUpSteps, 2 * warmUpSteps));
    assert(nowMib < warmMib + maxGrowthMib, `the watcher took ${warmMib} MiB, and takes ${nowMib}`);
  }
  return `${nowMib.toFixed(0)} MiB`;
}

/** Returns the resident memory of a process. */
function memoryMibOf(pid: number): number {
  const [, kilobytes = ''] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) / 1024;
}
