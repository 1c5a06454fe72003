// Starts programs with execa. A file of its own: loaded by import() when the first program is run.
import { closeSync, openSync } from 'node:fs';
import { execa, type Options } from 'execa';
import { systemPath } from './paths.ts';

/** Three pipes and two descriptors of libuv's own, with some to spare for its threads. */
const spawnDescriptors = 12;

/**
 * Throws the error of open(2) unless a program can be started with as many descriptors. Without them, Node
 * returns a child without streams, which execa cannot use, and reports its error to nobody.
 */
function requireDescriptors(): void {
  const opened: number[] = [];
  try {
    while (opened.length < spawnDescriptors) opened.push(openSync('/dev/null', 'r'));
  } finally {
    for (const descriptor of opened) closeSync(descriptor);
  }
}

/**
 * Starts a program of the system: found on the fixed PATH, without a shell, in the C locale. A program that
 * is past its `timeout` is killed with SIGKILL. It outlives this process: a change that it makes must not be
 * left half done. Throws when no descriptors are free.
 */
export function startProgram<O extends Options>(program: string, args: readonly string[], options: O) {
  requireDescriptors();
  return execa(program, args, {
    ...options,
    env: { PATH: systemPath, LC_ALL: 'C' },
    extendEnv: false,
    cwd: '/',
    killSignal: 'SIGKILL',
    cleanup: false,
  } as const);
}
