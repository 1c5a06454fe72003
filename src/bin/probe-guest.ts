// The program in a probe's network namespace, in place of a machine: takes a lease, asks for a name and sends
// a packet to the outside. Reads a ProbeRequest from stdin and writes a ProbeReport to stdout.
import { createSocket, type Socket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { parseIpv4 } from '../address/ip.ts';
import { type DhcpReply, decodeDhcp, dhcpType, encodeDhcp } from '../diagnosis/probe/dhcp.ts';
import type {
  DnsReport,
  LeaseReport,
  ProbeReport,
  ProbeRequest,
  UpstreamReport,
} from '../diagnosis/probe/protocol.ts';
import { isReachable } from '../diagnosis/probe/reachability.ts';
import { messageOf } from '../errors.ts';
import { run } from '../system/run.ts';

/** When a DHCP message is sent, the first time and again, and when its answer is given up. */
const dhcpSendTimesMs = [0, 300, 700];
const dhcpTimeoutMs = 1400;

/** How long one try of a DNS question waits for its answer, and how long all tries together. */
const dnsTryTimeoutMs = 600;
const dnsTries = 2;
const dnsTimeoutMs = 1500;

/** The process that started this one may be gone, so this one ends by itself. */
const totalTimeoutMs = 8000;

async function carryOut(request: ProbeRequest): Promise<ProbeReport> {
  const lease = await takeLease(request);
  if (lease.kind !== 'leased') return { lease, dns: null, upstream: null, nextHopAnswers: null };
  const { prefix, gateway, nextHop, asksUpstream } = request;
  const setup = [
    `address replace ${lease.ip}/${prefix} dev eth0`,
    `route replace default via ${gateway} dev eth0`,
  ];
  await run('ip', ['-batch', '-'], { input: setup.map(line => `${line}\n`).join('') });
  const [dns, upstream, nextHopAnswers] = await Promise.all([
    resolveName(request),
    asksUpstream ? askUpstream(request) : null,
    nextHop === null ? null : isReachable(nextHop),
  ]);
  return { lease, dns, upstream, nextHopAnswers };
}

async function takeLease({ mac }: ProbeRequest): Promise<LeaseReport> {
  const transaction = process.getBuiltinModule('node:crypto').randomInt(2 ** 32);
  const socket = createSocket('udp4');
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(68, resolve);
  });
  socket.setBroadcast(true);
  try {
    const discover = encodeDhcp({ type: dhcpType.discover, transaction, mac });
    const offer = await ask(socket, discover, reply => isFor(reply, transaction, dhcpType.offer));
    const [ip, server] = [parseIpv4(offer?.ip ?? ''), parseIpv4(offer?.server ?? '')];
    if (ip === null || server === null) return { kind: 'silent', after: 'DISCOVER' };
    const request = encodeDhcp({ type: dhcpType.request, transaction, mac, ip, server });
    const answer = await ask(socket, request, reply => isFor(reply, transaction, dhcpType.ack, dhcpType.nak));
    if (answer === null) return { kind: 'silent', after: 'REQUEST' };
    return answer.type === dhcpType.nak ? { kind: 'refused' } : { kind: 'leased', ip: answer.ip };
  } finally {
    socket.close();
  }
}

function isFor(reply: DhcpReply, transaction: number, ...types: readonly number[]): boolean {
  return reply.transaction === transaction && types.includes(reply.type);
}

/** Sends a message until a reply that `isMeant` arrives. Returns null when none does in time. */
function ask(
  socket: Socket,
  message: Buffer,
  isMeant: (reply: DhcpReply) => boolean,
): Promise<DhcpReply | null> {
  return new Promise(resolve => {
    const send = () => socket.send(message, 67, '255.255.255.255', () => {});
    const timers = dhcpSendTimesMs.map(delayMs => setTimeout(send, delayMs));
    const done = (reply: DhcpReply | null) => {
      for (const timer of timers) clearTimeout(timer);
      socket.off('message', take);
      void resolve(reply);
    };
    const take = (bytes: Buffer) => {
      const reply = decodeDhcp(bytes);
      if (reply !== null && isMeant(reply)) done(reply);
    };
    timers.push(setTimeout(done, dhcpTimeoutMs, null));
    socket.on('message', take);
  });
}

async function resolveName({ gateway, name }: ProbeRequest): Promise<DnsReport> {
  try {
    return { kind: 'answered', addresses: await askDns(gateway, resolver => resolver.resolve4(name)) };
  } catch (error) {
    return { kind: 'failed', code: codeOf(error) };
  }
}

/** Asks for the root's name servers: every DNS server knows them, and the question discloses nothing. */
async function askUpstream({ gateway }: ProbeRequest): Promise<UpstreamReport> {
  try {
    await askDns(gateway, resolver => resolver.resolveNs('.'));
    return { kind: 'answered' };
  } catch (error) {
    const code = codeOf(error);
    // A negative answer is an answer.
    return ['ENODATA', 'ENOTFOUND'].includes(code) ? { kind: 'answered' } : { kind: 'failed', code };
  }
}

async function askDns<T>(server: string, question: (resolver: Resolver) => Promise<T>): Promise<T> {
  const resolver = new Resolver({ timeout: dnsTryTimeoutMs, tries: dnsTries });
  resolver.setServers([server]);
  const timer = setTimeout(() => resolver.cancel(), dnsTimeoutMs);
  try {
    return await question(resolver);
  } finally {
    clearTimeout(timer);
  }
}

/** Returns the error code of c-ares. The question was cancelled because it took too long. */
function codeOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ECANCELLED' ? 'ETIMEOUT' : (code ?? messageOf(error));
}

function exitWith(message: string): void {
  process.stderr.write(`${message}\n`, () => process.exit(1));
}

setTimeout(exitWith, totalTimeoutMs, `the probe was not done after ${totalTimeoutMs / 1000} s`).unref();
carryOut(JSON.parse(readFileSync(0, 'utf8'))).then(
  // A DNS question that was given up may keep the process running: end it.
  report => process.stdout.write(JSON.stringify(report), () => process.exit(0)),
  (error: unknown) => exitWith(messageOf(error)),
);
