// `virlan status`: shows networks, machines, addresses, leases and problems.
import type { Values } from '../cli/options.ts';
import { statusLines } from '../cli/status-lines.ts';
import { print, printJson } from '../cli/terminal.ts';
import { currentStatus } from './current-status.ts';

/** Prints the status, or with --watch follows it. Returns the exit code. */
export async function status(options: Values): Promise<number> {
  if (options.watch) return (await import('./watch-status.ts')).watchStatus(options);
  const collected = await currentStatus(options.config);
  if (options.json) printJson(collected);
  else print(...statusLines(collected, process.stdout.columns || Number.POSITIVE_INFINITY));
  return 0;
}
