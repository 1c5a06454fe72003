import { createSocket } from 'node:dgram';
import { runOrNull } from '../../system/run.ts';

/** Where traceroute(8) begins: a port that nobody serves, so that the host there says so. */
const tracePort = 33434;

/** How long an answer is waited for, in seconds. */
const patience = 1;

/** Whether a host answers: a ping, where this host has ping(8), or a datagram to a port that it does not serve. */
export async function knock(ip: string): Promise<boolean> {
  const hurry = new AbortController();
  const pinged = runOrNull('ping', ['-n', '-c', '1', '-W', String(patience), ip]).then(said => said !== null);
  const refused = isRefused(ip, hurry.signal);
  try {
    const first = await Promise.race([pinged, refused]);
    return first || (await pinged) || (await refused);
  } finally {
    hurry.abort();
  }
}

function isRefused(ip: string, hurry: AbortSignal): Promise<boolean> {
  return new Promise(resolve => {
    const socket = createSocket('udp4');
    const done = (answered: boolean) => {
      clearTimeout(timer);
      socket.removeAllListeners();
      socket.on('error', () => {});
      socket.close();
      void resolve(answered);
    };
    const timer = setTimeout(done, patience * 1000, false);
    hurry.addEventListener('abort', () => clearTimeout(timer), { once: true });
    // Only a connected socket is told of ICMP errors: see udp(7).
    socket.on('error', (error: NodeJS.ErrnoException) => done(error.code === 'ECONNREFUSED'));
    socket.on('message', () => done(true));
    socket.connect(tracePort, ip, () => socket.send('virlan'));
  });
}
