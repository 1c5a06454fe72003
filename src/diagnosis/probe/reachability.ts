// Finds out whether another host answers.
import { createSocket } from 'node:dgram';
import { runOrNull } from '../../system/run.ts';

/** The first port of traceroute(8): no program listens there, so a host answers with an ICMP error. */
const traceroutePort = 33434;

const answerTimeoutSeconds = 1;

/** Returns whether a host answers a ping (where ping is installed) or a datagram to a closed port. */
export async function isReachable(ip: string): Promise<boolean> {
  const abort = new AbortController();
  const args = ['-n', '-c', '1', '-W', String(answerTimeoutSeconds), ip];
  const answersPing = runOrNull('ping', args).then(output => output !== null);
  const answersDatagram = sendDatagram(ip, abort.signal);
  try {
    const first = await Promise.race([answersPing, answersDatagram]);
    return first || (await answersPing) || (await answersDatagram);
  } finally {
    abort.abort();
  }
}

function sendDatagram(ip: string, abort: AbortSignal): Promise<boolean> {
  return new Promise(resolve => {
    const socket = createSocket('udp4');
    const done = (answered: boolean) => {
      clearTimeout(timer);
      socket.removeAllListeners();
      socket.on('error', () => {});
      socket.close();
      void resolve(answered);
    };
    const timer = setTimeout(done, answerTimeoutSeconds * 1000, false);
    abort.addEventListener('abort', () => clearTimeout(timer), { once: true });
    // Only a connected socket is told of ICMP errors: see udp(7).
    socket.on('error', (error: NodeJS.ErrnoException) => done(error.code === 'ECONNREFUSED'));
    socket.on('message', () => done(true));
    socket.connect(traceroutePort, ip, () => socket.send('virlan'));
  });
}
