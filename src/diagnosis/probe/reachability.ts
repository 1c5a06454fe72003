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

/** Returns whether the kernel has a route from one of the host's addresses to another host. */
export function hasRoute(from: string, to: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = createSocket('udp4');
    const end = (isThere: boolean) => {
      void resolve(isThere);
      socket.close();
    };
    socket.once('error', () => end(false));
    // Connecting a datagram socket sends nothing.
    socket.bind({ address: from }, () =>
      socket.connect(traceroutePort, to, (error?: Error) => end(error === undefined)),
    );
  });
}

/** The signal closes the socket, which would keep this process running as long as nobody answers. */
function sendDatagram(ip: string, signal: AbortSignal): Promise<boolean> {
  return new Promise(resolve => {
    const socket = createSocket({ type: 'udp4', signal });
    const timer = setTimeout(resolve, answerTimeoutSeconds * 1000, false);
    socket.on('close', () => clearTimeout(timer));
    // Only a connected socket is told of ICMP errors: see udp(7).
    socket.on('error', (error: NodeJS.ErrnoException) => void resolve(error.code === 'ECONNREFUSED'));
    socket.on('message', () => void resolve(true));
    const connected = (error?: Error) => (error === undefined ? socket.send('virlan') : resolve(false));
    socket.connect(traceroutePort, ip, connected);
  });
}
