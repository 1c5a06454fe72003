import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { type Namespace, run, within } from './namespaces.ts';
import { checkout } from './virlan.ts';

const agent = `${checkout}/test/sandbox/probe-agent.mjs`;

const verdicts = ['open', 'tcp-reset', 'icmp-port-unreachable', 'timeout'] as const;
export type Verdict = (typeof verdicts)[number];

export interface Target {
  /** The address to send to. */
  to: string;
  /** How long silence must last to be a timeout: 1.5 s where not given. */
  seconds?: number;
}

export interface PortTarget extends Target {
  proto: 'tcp' | 'udp';
  port: number;
  /** The port to send from, where it matters. */
  from?: number;
}

export type Probe = PortTarget | (Target & { proto: 'icmp' });

export interface Peer {
  address: string;
  port: number;
}

/**
 * Sends a packet and tells what it met. A TCP port is open when it accepts; a UDP port when it answers a DNS
 * question, as name servers and serve() do; an address when it answers a ping. Throws on anything else that comes
 * back, like another kind of ICMP error.
 */
export async function probe(namespace: Namespace, target: Probe): Promise<Verdict> {
  if (target.proto === 'icmp') return inTurn(namespace, () => ping(namespace, target));
  const outcome = await attempt(namespace, 'probe', target);
  const verdict = verdicts.find(verdict => verdict === outcome);
  if (verdict) return verdict;
  throw new Error(`${target.proto} to ${target.to}:${target.port}: ${outcome}`);
}

/** Asks a server started by serve() whom it sees. Throws when there is no answer. */
export async function seenAs(namespace: Namespace, target: PortTarget): Promise<Peer> {
  const answer = await attempt(namespace, 'ask', target);
  const [address, port] = answer.split(' ');
  if (!address || !port) throw new Error(`${target.proto} to ${target.to}:${target.port}: ${answer}`);
  return { address, port: Number(port) };
}

function attempt(namespace: Namespace, role: 'probe' | 'ask', target: PortTarget): Promise<string> {
  const { proto, to, port, from = 0, seconds = 1.5 } = target;
  const args = [role, proto, to, `${port}`, `${from}`, `${seconds}`];
  return inTurn(namespace, () => run(namespace, 'node', agent, ...args));
}

const lastTurn = new Map<string | undefined, Promise<unknown>>();

/** One attempt at a time from each namespace: the count of ICMP errors does not say whose they are. */
function inTurn<T>({ name }: Namespace, act: () => Promise<T>): Promise<T> {
  const turn = (lastTurn.get(name) ?? Promise.resolve()).then(act, act);
  lastTurn.set(name, turn);
  return turn;
}

async function ping(namespace: Namespace, { to, seconds = 1.5 }: Target): Promise<Verdict> {
  const command = within(namespace, 'ping', ['-n', '-c', '1', '-W', `${seconds}`, to]);
  const { stdout } = await execa(...command, { reject: false });
  if (stdout.includes(' bytes from ')) return 'open';
  if (stdout.includes('Destination Port Unreachable')) return 'icmp-port-unreachable';
  if (stdout.includes(', 100% packet loss') && !stdout.includes('errors')) return 'timeout';
  throw new Error(`ping ${to}: ${stdout}`);
}

export interface Server {
  stop(): Promise<void>;
}

/**
 * Serves a port in a namespace, on all its addresses or one: answers with the address and port it sees the asker
 * at. Resolves when it listens; throws when it cannot.
 */
export async function serve(
  namespace: Namespace,
  { proto, port, address = '0.0.0.0' }: { proto: 'tcp' | 'udp'; port: number; address?: string },
): Promise<Server> {
  const server = spawn(...within(namespace, 'node', [agent, 'serve', proto, `${port}`, address]));
  await announced(server, server.stdout, 'listening');
  return { stop: () => ended(server, 'SIGTERM') };
}

/** A name server in a namespace that knows no name but answers each question. Resolves when it listens. */
export async function nameServer(namespace: Namespace, address: string): Promise<Server> {
  const server = spawn(...within(namespace, 'node', [agent, 'dns', address]));
  await announced(server, server.stdout, 'listening');
  return { stop: () => ended(server, 'SIGTERM') };
}

export interface Capture {
  /** The lines so far: each packet's header, and indented below it what it says. */
  lines: string[];
  /** Resolves to the first line that matches, past or to come. Throws when none comes in time: 10 s where not given. */
  seen(pattern: RegExp, seconds?: number): Promise<string>;
  /** Ends the capture and returns the lines. Packets just sent may be missing: await seen() for these. */
  stop(): Promise<string[]>;
}

/** Listens to an interface with `tcpdump -n -vvv`, and resolves when it does. The filter is tcpdump's. */
export async function capture(namespace: Namespace, iface: string, filter = ''): Promise<Capture> {
  const args = ['-i', iface, '-n', '-vvv', '-l', '--immediate-mode', filter];
  const tcpdump = spawn(...within(namespace, 'tcpdump', args));
  const lines: string[] = [];
  const reader = createInterface(tcpdump.stdout).on('line', line => lines.push(line));
  await announced(tcpdump, tcpdump.stderr, 'listening on');

  async function seen(pattern: RegExp, seconds = 10): Promise<string> {
    const signal = AbortSignal.timeout(seconds * 1000);
    for (;;) {
      const found = lines.find(line => pattern.test(line));
      if (found !== undefined) return found;
      await once(reader, 'line', { signal }).catch(() => {
        throw new Error(`${pattern} not seen in ${seconds} s:\n${lines.join('\n')}`);
      });
    }
  }

  async function stop(): Promise<string[]> {
    await ended(tcpdump, 'SIGINT');
    return lines;
  }

  return { lines, seen, stop };
}

/** Waits until a process has said a word; throws what it said instead when it ends without. */
async function announced(child: ChildProcessWithoutNullStreams, stream: NodeJS.ReadableStream, word: string) {
  let said = '';
  for (const output of [child.stdout, child.stderr]) {
    output.setEncoding('utf8').on('data', chunk => {
      said += chunk;
    });
  }
  while (!said.includes(word)) {
    await Promise.race([once(stream, 'data'), once(child, 'close')]);
    if (child.exitCode !== null || child.signalCode) throw new Error(`${child.spawnargs.join(' ')}: ${said}`);
  }
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode) return;
  const closed = once(child, 'close');
  child.kill(signal);
  await closed;
}
