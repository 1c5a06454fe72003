// Starts programs with execa. A file of its own: loaded by import() when the first program is run.
import { execa, type Options } from 'execa';
import { systemPath } from './paths.ts';

/**
 * Starts a program of the system: found on the fixed PATH, without a shell, in the C locale. A program that
 * is past its `timeout` is killed with SIGKILL. It outlives this process: a change that it makes must not be
 * left half done.
 */
export function startProgram<O extends Options>(program: string, args: readonly string[], options: O) {
  return execa(program, args, {
    ...options,
    env: { PATH: systemPath, LC_ALL: 'C' },
    extendEnv: false,
    cwd: '/',
    killSignal: 'SIGKILL',
    cleanup: false,
  } as const);
}
