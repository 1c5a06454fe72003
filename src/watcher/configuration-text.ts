// The words for changes of the configuration that are refused. Pure.
import type { RefusedChange } from './refused-changes.ts';

/** Describes a refused change in one line, with the remedy. */
export function refusedChangeText({ network, change, machines }: RefusedChange): string {
  const what =
    change.kind === 'removed'
      ? `network ${network} cannot be removed`
      : `the ${change.kind} of ${network} cannot become ${change.to}`;
  const names = machines.map(name => JSON.stringify(name)).join(', ');
  return `${what} while machines run on it: ${names}: shut them down first`;
}
