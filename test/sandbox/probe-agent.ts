// The agent that sends and answers packets (probe-agent.py): its command line, and the process that makes all attempts.
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { Namespace } from './namespaces.ts';
import { checkout } from './virlan.ts';

/** Returns the command line of the agent, without what Python loads at its start for installed packages. */
export function agentCommand(...args: string[]): [string, string[]] {
  return ['python3', ['-IS', `${checkout}/test/sandbox/probe-agent.py`, ...args]];
}

interface Attempts {
  readonly process: ChildProcessByStdio<Writable, Readable, null>;
  /** The attempts that have not ended, by their numbers. */
  readonly waiting: Map<number, { resolve: (result: string) => void; reject: (error: Error) => void }>;
}

let attempts: Attempts | undefined;
let lastNumber = 0;

/**
 * Returns the result of an attempt that is made in a namespace. One process makes those of all namespaces, because its
 * start takes longer than an attempt; between attempts it keeps no namespace alive.
 */
export function askAgent({ name }: Namespace, words: readonly (string | number)[]): Promise<string> {
  const agent = attempts ?? startAttempts();
  attempts = agent;
  const number = ++lastNumber;
  return new Promise((resolve, reject) => {
    agent.waiting.set(number, { resolve, reject });
    keepAlive(agent);
    const file = name === undefined ? '/proc/self/ns/net' : `/run/netns/${name}`;
    agent.process.stdin.write(`${[number, file, ...words].join(' ')}\n`);
  });
}

function startAttempts(): Attempts {
  const process = spawn(...agentCommand('attempt'), { stdio: ['pipe', 'pipe', 'inherit'] });
  const started: Attempts = { process, waiting: new Map() };
  createInterface(process.stdout).on('line', line => {
    const [number = '', ...words] = line.split(' ');
    started.waiting.get(Number(number))?.resolve(words.join(' '));
    started.waiting.delete(Number(number));
    keepAlive(started);
  });
  process.on('exit', () => {
    attempts = undefined;
    for (const { reject } of started.waiting.values()) reject(new Error('probe-agent.py has ended'));
  });
  process.unref();
  return started;
}

/** Lets this process end while no attempt is under way. */
function keepAlive({ process, waiting }: Attempts): void {
  const output = process.stdout as Socket;
  if (waiting.size > 0) output.ref();
  else output.unref();
}
