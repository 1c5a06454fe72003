import { createSocket, type Socket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { type Ipv4, parseIpv4 } from '../address/ip.ts';
import { type DhcpReply, decodeDhcp, dhcpType, encodeDhcp } from '../diagnosis/probe/dhcp.ts';
import type { Errand, Exchange } from '../diagnosis/probe/protocol.ts';
import { knock } from '../diagnosis/probe/reachability.ts';
import { run } from '../system/run.ts';

/**
 * What the probe runs within its network namespace, in a machine's stead: takes a lease, asks the gateway for a name, and
 * sends a packet to the outside. The errand is JSON on standard input, what came of it JSON on standard output.
 */

/** When a message of DHCP is sent again, in milliseconds after the first, and when it is given up. */
const sendAt = [0, 300, 700];
const giveUpAt = 1400;

/** How long a question of DNS waits for its answer before it is asked again, and all in all, in milliseconds. */
const dnsPatience = { once: 600, total: 1500 };

/** All in all no probe takes longer: whoever started it may be gone. */
const longest = 8000;

async function perform(errand: Errand): Promise<Exchange> {
  const lease = await takeLease(errand);
  if (!('ip' in lease)) return { lease, dns: null, upstream: null, answered: null };
  const setUp = [
    `address replace ${lease.ip}/${errand.prefix} dev eth0`,
    `route replace default via ${errand.gateway} dev eth0`,
  ];
  await run('ip', ['-batch', '-'], setUp.map(line => `${line}\n`).join(''));
  const [dns, upstream, answered] = await Promise.all([
    resolveName(errand),
    errand.asksUpstream ? askUpstream(errand) : null,
    errand.target === null ? null : knock(errand.target),
  ]);
  return { lease, dns, upstream, answered };
}

async function takeLease({ mac }: Errand): Promise<Exchange['lease']> {
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
    if (ip === null || server === null) return { silentAfter: 'DISCOVER' };
    const request = encodeDhcp({ type: dhcpType.request, transaction, mac, ip: ip as Ipv4, server });
    const answer = await ask(socket, request, reply => isFor(reply, transaction, dhcpType.ack, dhcpType.nak));
    if (answer === null) return { silentAfter: 'REQUEST' };
    return answer.type === dhcpType.nak ? { nak: true } : { ip: answer.ip };
  } finally {
    socket.close();
  }
}

function isFor(reply: DhcpReply, transaction: number, ...types: readonly number[]): boolean {
  return reply.transaction === transaction && types.includes(reply.type);
}

/** Sends a message until a reply of the right kind comes; null when none does. */
function ask(
  socket: Socket,
  message: Buffer,
  isMeant: (reply: DhcpReply) => boolean,
): Promise<DhcpReply | null> {
  return new Promise(resolve => {
    const send = () => socket.send(message, 67, '255.255.255.255', () => {});
    const timers = sendAt.map(delay => setTimeout(send, delay));
    const done = (reply: DhcpReply | null) => {
      for (const timer of timers) clearTimeout(timer);
      socket.off('message', take);
      void resolve(reply);
    };
    const take = (bytes: Buffer) => {
      const reply = decodeDhcp(bytes);
      if (reply !== null && isMeant(reply)) done(reply);
    };
    timers.push(setTimeout(done, giveUpAt, null));
    socket.on('message', take);
  });
}

async function resolveName({ gateway, name }: Errand): Promise<Exchange['dns']> {
  try {
    return { addresses: await askDns(gateway, resolver => resolver.resolve4(name)) };
  } catch (error) {
    return { error: codeOf(error) };
  }
}

/** The root's name servers: every server of the world knows them, and nobody learns anything from the question. */
async function askUpstream({ gateway }: Errand): Promise<string> {
  try {
    await askDns(gateway, resolver => resolver.resolveNs('.'));
    return 'answered';
  } catch (error) {
    // A no is an answer, too.
    return ['ENODATA', 'ENOTFOUND'].includes(codeOf(error)) ? 'answered' : codeOf(error);
  }
}

async function askDns<T>(server: string, question: (resolver: Resolver) => Promise<T>): Promise<T> {
  const resolver = new Resolver({ timeout: dnsPatience.once, tries: 2 });
  resolver.setServers([server]);
  const timer = setTimeout(() => resolver.cancel(), dnsPatience.total);
  try {
    return await question(resolver);
  } finally {
    clearTimeout(timer);
  }
}

function codeOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ECANCELLED' ? 'ETIMEOUT' : (code ?? String(error));
}

function fail(message: string): void {
  process.stderr.write(`${message}\n`, () => process.exit(1));
}

setTimeout(fail, longest, `the probe was not done after ${longest / 1000} s`).unref();
perform(JSON.parse(readFileSync(0, 'utf8'))).then(
  // A question of DNS that was given up may keep the process for longer.
  exchange => process.stdout.write(JSON.stringify(exchange), () => process.exit(0)),
  (error: Error) => fail(error.message),
);
