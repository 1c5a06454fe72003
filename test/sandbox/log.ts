// The log of virlan, one JSON object per line: {"level":30,"code":"network-repaired","network":"k8s-br0",…}
import { readFileSync } from 'node:fs';
import type { Event } from '../../src/report/event.ts';

export type LogLine = Readonly<Record<string, unknown>>;

/** Returns the parsed lines of the log. */
export function logLines(): LogLine[] {
  const text = readFileSync('/var/log/virlan.log', 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line));
}

/** Returns the lines of one kind of event. */
export function logLinesOf(code: Event['kind']): LogLine[] {
  return logLines().filter(line => line.code === code);
}

/** Returns the lines of level `error`. */
export function errorLines(): LogLine[] {
  return logLines().filter(({ level }) => level === 50);
}
