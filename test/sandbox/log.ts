// The log of virlan, one JSON object per line: {"level":30,"code":"network-repaired","network":"k8s-br0",…}
import { readFileSync } from 'node:fs';
import type { Event } from '../../src/report/event.ts';

export type LogLine = Readonly<Record<string, unknown>>;

/** Returns the parsed lines of the log, without the rest of one that is being written. */
export function logLines(): LogLine[] {
  const complete = readFileSync('/var/log/virlan.log', 'utf8').split('\n').slice(0, -1);
  return complete.map(line => JSON.parse(line));
}

/** Returns the lines of one kind of event. */
export function logLinesOf(code: Event['kind']): LogLine[] {
  return logLines().filter(line => line.code === code);
}

/** Returns the lines of level `error`. */
export function errorLines(): LogLine[] {
  return logLines().filter(({ level }) => level === 50);
}
