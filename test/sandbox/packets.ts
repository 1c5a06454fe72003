// Packets between namespaces: probes, servers, captures. Sent and answered by probe-agent.py.
import assert from 'node:assert/strict';
import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { type Namespace, within } from './namespaces.ts';
import { agentCommand, askAgent } from './probe-agent.ts';

const verdicts = ['open', 'tcp-reset', 'icmp-port-unreachable', 'timeout'] as const;
export type Verdict = (typeof verdicts)[number];

export interface Target {
  /** The address to send to. */
  to: string;
  /** The time without an answer that counts as a timeout; 1.5 s by default. */
  seconds?: number;
}

export interface PortTarget extends Target {
  proto: 'tcp' | 'udp';
  port: number;
  /** The source port; any by default. */
  from?: number;
}

export type Probe = PortTarget | (Target & { proto: 'icmp' });

export interface Peer {
  address: string;
  port: number;
}

/**
 * Sends a packet and returns the verdict. A TCP port is open if it accepts; a UDP port if it answers a DNS
 * question, as name servers and serve() do; an address if it answers a ping. Throws on any other answer, such
 * as another ICMP error.
 */
export async function probe(namespace: Namespace, target: Probe): Promise<Verdict> {
  if (target.proto === 'icmp') return inTurn(namespace, () => ping(namespace, target));
  const outcome = await attempt(namespace, 'probe', target);
  const verdict = verdicts.find(verdict => verdict === outcome);
  if (verdict) return verdict;
  throw new Error(`${target.proto} to ${target.to}:${target.port}: ${outcome}`);
}

/** Returns whether a namespace reaches a TCP server; false also where nobody has answered ARP some seconds ago. */
export async function reachesByTcp(
  namespace: Namespace,
  target: { readonly to: string; readonly port: number; readonly seconds: number },
): Promise<boolean> {
  const outcome = await attempt(namespace, 'probe', { proto: 'tcp', ...target });
  assert(['open', 'timeout', 'EHOSTUNREACH'].includes(outcome), outcome);
  return outcome === 'open';
}

/**
 * Returns the address and port at which a server started by serve() sees this namespace. Throws without an
 * answer in time, which is 10 s by default: on a busy host an answer takes seconds.
 */
export async function seenAs(namespace: Namespace, target: PortTarget): Promise<Peer> {
  const answer = await attempt(namespace, 'ask', { seconds: 10, ...target });
  const [address, port] = answer.split(' ');
  if (!address || !port) throw new Error(`${target.proto} to ${target.to}:${target.port}: ${answer}`);
  return { address, port: Number(port) };
}

function attempt(namespace: Namespace, role: 'probe' | 'ask', target: PortTarget): Promise<string> {
  const { proto, to, port, from = 0, seconds = 1.5 } = target;
  return inTurn(namespace, () => askAgent(namespace, [role, proto, to, port, from, seconds]));
}

const lastTurn = new Map<string | undefined, Promise<unknown>>();

/** Runs one attempt at a time per namespace: the counter of ICMP errors does not tell attempts apart. */
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
 * Starts a server in a namespace, on all of its addresses or one, that answers each client with the client's
 * address and port. Resolves when it listens; throws if it cannot.
 */
export async function serve(
  namespace: Namespace,
  { proto, port, address = '0.0.0.0' }: { proto: 'tcp' | 'udp'; port: number; address?: string },
): Promise<Server> {
  const server = spawn(...within(namespace, ...agentCommand('serve', proto, `${port}`, address)));
  await announced(server, server.stdout, 'listening');
  return { stop: () => ended(server, 'SIGTERM') };
}

/**
 * Starts a name server in a namespace that answers every question with an empty result. Resolves when it
 * listens.
 */
export async function nameServer(namespace: Namespace, address: string): Promise<Server> {
  const server = spawn(...within(namespace, ...agentCommand('dns', address)));
  await announced(server, server.stdout, 'listening');
  return { stop: () => ended(server, 'SIGTERM') };
}

export interface Capture {
  /** The lines so far: each packet's header, and its content indented below. */
  lines: string[];
  /**
   * Resolves to the first matching line, past or future. Throws if there is none in time (10 s by default).
   */
  seen(pattern: RegExp, timeoutSeconds?: number): Promise<string>;
  /** Ends the capture and returns the lines. Await seen() first for packets that were sent just before. */
  stop(): Promise<string[]>;
}

/**
 * Captures the packets of an interface with `tcpdump -n -vvv` and its filter. Resolves when tcpdump listens.
 */
export async function capture(namespace: Namespace, iface: string, filter = ''): Promise<Capture> {
  const args = ['-i', iface, '-n', '-vvv', '-l', '--immediate-mode', filter];
  const tcpdump = spawn(...within(namespace, 'tcpdump', args));
  const lines: string[] = [];
  const reader = createInterface(tcpdump.stdout).on('line', line => lines.push(line));
  await announced(tcpdump, tcpdump.stderr, 'listening on');

  async function seen(pattern: RegExp, timeoutSeconds = 10): Promise<string> {
    const signal = AbortSignal.timeout(timeoutSeconds * 1000);
    for (;;) {
      const found = lines.find(line => pattern.test(line));
      if (found !== undefined) return found;
      await once(reader, 'line', { signal }).catch(() => {
        throw new Error(`${pattern} not seen in ${timeoutSeconds} s:\n${lines.join('\n')}`);
      });
    }
  }

  async function stop(): Promise<string[]> {
    await ended(tcpdump, 'SIGINT');
    return lines;
  }

  return { lines, seen, stop };
}

/** Waits until a process prints a word. Throws with its output if it ends without. */
async function announced(child: ChildProcessWithoutNullStreams, stream: NodeJS.ReadableStream, word: string) {
  let text = '';
  for (const output of [child.stdout, child.stderr]) {
    output.setEncoding('utf8').on('data', chunk => {
      text += chunk;
    });
  }
  while (!text.includes(word)) {
    await Promise.race([once(stream, 'data'), once(child, 'close')]);
    if (child.exitCode !== null || child.signalCode) throw new Error(`${child.spawnargs.join(' ')}: ${text}`);
  }
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode) return;
  const closed = once(child, 'close');
  child.kill(signal);
  await closed;
}
