// The program in a probe's network namespace, in place of a machine: takes a lease, looks up a name and sends
// a packet to the outside. Reads a ProbeRequest from stdin and writes a ProbeReport to stdout.
import { createSocket, type Socket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { parseIpv4 } from '../address/ip.ts';
import type {
  DnsReport,
  LeaseReport,
  ProbeReport,
  ProbeRequest,
  UpstreamReport,
} from '../diagnosis/probe/protocol.ts';
import { isReachable } from '../diagnosis/probe/reachability.ts';
import { type DhcpReply, decodeDhcp, dhcpType, encodeDhcp } from '../dnsmasq/dhcp.ts';
import { messageOf } from '../errors.ts';
import { isUnresolved } from '../system/neighbours.ts';
import { run } from '../system/run.ts';

/** Times at which a DHCP message is sent, and the longest wait for its answer. */
const dhcpSendTimesMs = [0, 300, 700];
const dhcpTimeoutMs = 1400;

/** Longest wait for an answer of DNS: of one try, and of all tries together. */
const dnsTryTimeoutMs = 600;
const dnsTries = 2;
const dnsTimeoutMs = 1500;

/** This process ends by itself after this time, because the one that started it may have ended. */
const totalTimeoutMs = 8000;

async function carryOut(request: ProbeRequest): Promise<ProbeReport> {
  // A machine that boots has no address, and rules of others may drop its requests by their source. Without an address,
  // a broadcast can be sent only with a route.
  await configureLink('address flush dev eth0', 'route replace default dev eth0');
  const lease = await takeLease(request);
  if (lease.kind !== 'leased') return { lease, dns: null, upstream: null, nextHopAnswers: null };
  const { prefix, gateway, nextHop, asksUpstream } = request;
  await configureLink(
    `address replace ${lease.ip}/${prefix} dev eth0`,
    `route replace default via ${gateway} dev eth0`,
  );
  const [dns, upstream, nextHopAnswers] = await Promise.all([
    resolveName(request),
    asksUpstream ? queryUpstream(request) : null,
    nextHop === null ? null : isReachable(nextHop),
  ]);
  return { lease, dns, upstream, nextHopAnswers };
}

async function configureLink(...commands: readonly string[]): Promise<void> {
  await run('ip', ['-batch', '-'], { input: commands.map(line => `${line}\n`).join('') });
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
    const offer = await exchange(socket, discover, reply => isFor(reply, transaction, dhcpType.offer));
    const [ip, server] = [parseIpv4(offer?.ip ?? ''), parseIpv4(offer?.server ?? '')];
    if (ip === null || server === null) return { kind: 'silent', after: 'DISCOVER' };
    const request = encodeDhcp({ type: dhcpType.request, transaction, mac, ip, server });
    const answer = await exchange(socket, request, reply =>
      isFor(reply, transaction, dhcpType.ack, dhcpType.nak),
    );
    if (answer === null) return { kind: 'silent', after: 'REQUEST' };
    return answer.type === dhcpType.nak ? { kind: 'refused' } : { kind: 'leased', ip: answer.ip };
  } finally {
    socket.close();
  }
}

function isFor(reply: DhcpReply, transaction: number, ...types: readonly number[]): boolean {
  return reply.transaction === transaction && types.includes(reply.type);
}

/**
 * Sends a message until a reply arrives for which `isExpected` is true. Returns null when none does in time.
 */
function exchange(
  socket: Socket,
  message: Buffer,
  isExpected: (reply: DhcpReply) => boolean,
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
      if (reply !== null && isExpected(reply)) done(reply);
    };
    timers.push(setTimeout(done, dhcpTimeoutMs, null));
    socket.on('message', take);
  });
}

async function resolveName({ gateway, name }: ProbeRequest): Promise<DnsReport> {
  try {
    return { kind: 'answered', addresses: await queryDns(gateway, resolver => resolver.resolve4(name)) };
  } catch (error) {
    return isUnresolved(gateway, 'eth0') ? { kind: 'unresolved' } : { kind: 'failed', code: codeOf(error) };
  }
}

/** Queries the root's name servers: every DNS server knows them, and the query discloses nothing. */
async function queryUpstream({ gateway }: ProbeRequest): Promise<UpstreamReport> {
  try {
    await queryDns(gateway, resolver => resolver.resolveNs('.'));
    return { kind: 'answered' };
  } catch (error) {
    const code = codeOf(error);
    // A negative answer is an answer.
    return ['ENODATA', 'ENOTFOUND'].includes(code) ? { kind: 'answered' } : { kind: 'failed', code };
  }
}

async function queryDns<T>(server: string, query: (resolver: Resolver) => Promise<T>): Promise<T> {
  const resolver = new Resolver({ timeout: dnsTryTimeoutMs, tries: dnsTries });
  resolver.setServers([server]);
  const timer = setTimeout(() => resolver.cancel(), dnsTimeoutMs);
  try {
    return await query(resolver);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Returns the error code of c-ares; that of a timeout for a query that was cancelled because it took too
 * long.
 */
function codeOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ECANCELLED' ? 'ETIMEOUT' : (code ?? messageOf(error));
}

function exitWith(message: string): void {
  process.stderr.write(`${message}\n`, () => process.exit(1));
}

setTimeout(exitWith, totalTimeoutMs, `the probe was not done after ${totalTimeoutMs / 1000} s`).unref();
carryOut(JSON.parse(readFileSync(0, 'utf8'))).then(
  // A cancelled DNS query may keep the process running: end it.
  report => process.stdout.write(JSON.stringify(report), () => process.exit(0)),
  (error: unknown) => exitWith(messageOf(error)),
);
