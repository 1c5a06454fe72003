// The queues by which rules give packets to programs: a packet for a queue without a program is dropped, unless its
// rule says otherwise (`--queue-bypass`, `flags bypass`).
import type { System } from '../system/system.ts';
import type { Verdict } from './packet.ts';

/** Returns whether a program receives the packets of one of these queues. */
export type HeardQueues = (first: number, last: number) => boolean;

/** Counts each queue as heard: it is not known which programs run. */
export const everyQueue: HeardQueues = () => true;

/** Reads which queues have a program. Each line begins with the queue's number; without the file there is no queue. */
export function readHeardQueues({ readFile }: Pick<System, 'readFile'>): HeardQueues {
  const text = readFile('/proc/net/netfilter/nfnetlink_queue') ?? '';
  const heard = text.split('\n').flatMap(line => /^\s*(\d+)\s/.exec(line)?.[1] ?? []);
  return (first, last) => heard.map(Number).some(queue => queue >= first && queue <= last);
}

/** Returns what a rule does that gives packets to one of these queues: a program decides, or nobody does. */
export function verdictOfQueue(first: number, last: number, bypasses: boolean, heard: HeardQueues): Verdict {
  return { kind: bypasses || heard(first, last) ? 'accept' : 'drop' };
}
