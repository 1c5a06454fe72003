// Formats an error for the terminal: one line for each problem, and on request the errors that caused it.
import { messageOf } from '../errors.ts';
import { forTerminal } from '../text.ts';

/**
 * Returns the message of what was thrown in lines for a terminal. Only an invalid configuration has several.
 */
export function failureLines(error: unknown): string[] {
  return messageOf(error)
    .split('\n')
    .map(line => `virlan: ${forTerminal(line)}`);
}

/** Returns the stack of what was thrown, and of each error that it names as its cause. */
export function stackLines(error: unknown): string[] {
  if (!(error instanceof Error)) return [forTerminal(String(error))];
  const stack = (error.stack ?? error.message).split('\n').map(forTerminal);
  return error.cause === undefined ? stack : [...stack, 'Caused by:', ...stackLines(error.cause)];
}
