// Runs scripts of nft, each as one transaction of the kernel.
import { isAnswer } from '../answers.ts';
import type { System } from '../system/system.ts';

type Runner = Pick<System, 'run'>;

/** Longest time for loading tables: for the first ones the kernel loads modules, over 10 s on an emulated machine. */
export const loadTimeoutSeconds = 30;

/** Runs a script that changes or removes tables. Throws CommandError; nothing is changed then. */
export function runScript({ run }: Runner, input: string): Promise<string> {
  return run('nft', ['-f', '-'], { input });
}

/** Runs a script that makes tables. Throws CommandError; nothing is changed then. */
export function loadTables({ run }: Runner, input: string): Promise<string> {
  return run('nft', ['-f', '-'], { input, timeoutSeconds: loadTimeoutSeconds });
}

/** Runs a script by `load`, or the second one where nft refuses the first. Throws CommandError. */
export async function loadFirst(
  load: (script: string) => Promise<unknown>,
  first: string,
  second: () => string,
): Promise<void> {
  try {
    await load(first);
  } catch (error) {
    if (!isAnswer(error)) throw error;
    await load(second());
  }
}
