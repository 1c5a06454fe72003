// Asks neighbours in BGP why a session is not established. Loaded only where FRR tells hosts where machines are.
import { connect } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { formatIp, type Ipv4 } from '../../address/ip.ts';
import { bgpPort } from '../../address/port.ts';
import {
  type BgpSession,
  judgeSession,
  type PortAnswer,
  type SessionReport,
} from '../../cluster/bgp-sessions.ts';
import { hasRoute, isReachable } from './reachability.ts';

/** Longest wait for an answer. */
const answerTimeoutMs = 1000;

/** Interval and number of further readings: bgpd forgets the reason of a failure before it tries again. */
const readAgainMs = 500;
const readingsAgain = 10;

/** Looks at sessions, which `read` reads again. A neighbour whose session is established is not disturbed. */
export async function askBgp(
  address: Ipv4,
  sessions: readonly BgpSession[],
  read: () => Promise<readonly BgpSession[]>,
): Promise<SessionReport[]> {
  let reports = await Promise.all(sessions.map(session => askNeighbour(address, session)));
  for (let reading = 0; reading < readingsAgain; reading += 1) {
    if (reports.every(({ answer }) => answer !== 'not-established')) break;
    await setTimeout(readAgainMs);
    const again = await read();
    reports = reports.map(report => {
      const session = again.find(({ neighbour }) => neighbour === report.neighbour);
      if (report.answer !== 'not-established' || session === undefined) return report;
      return { ...session, answer: judgeSession(session, { port: 'accepted', isReachable: true }) };
    });
  }
  return reports;
}

async function askNeighbour(address: Ipv4, session: BgpSession): Promise<SessionReport> {
  if (session.state === 'established') return { ...session, answer: 'established' };
  const [from, to] = [formatIp(address), formatIp(session.neighbour)];
  const port = (await hasRoute(from, to)) ? await askBgpPort(from, to) : 'no-route';
  const isUp = port === 'silence' && (await isReachable(to));
  return { ...session, answer: judgeSession(session, { port, isReachable: isUp }) };
}

function askBgpPort(from: string, to: string): Promise<PortAnswer> {
  return new Promise(resolve => {
    const socket = connect({ host: to, port: bgpPort, localAddress: from });
    const end = (answer: PortAnswer) => {
      void resolve(answer);
      socket.destroy();
    };
    socket.setTimeout(answerTimeoutMs, () => end('silence'));
    socket.once('connect', () => end('accepted'));
    // A router or a firewall on the way may report by ICMP that the neighbour is not reached.
    socket.once('error', ({ code }: NodeJS.ErrnoException) =>
      end(code === 'ECONNREFUSED' ? 'refused' : 'silence'),
    );
  });
}
