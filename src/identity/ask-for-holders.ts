// Asks on a bridge who has addresses that new NICs would get.
import { formatIp, type Ipv4 } from '../address/ip.ts';
import { listDirectory } from '../system/files.ts';
import { hostAddresses } from '../system/host-addresses.ts';
import { askNeighbours } from '../system/neighbours.ts';
import type { AddressToAsk } from './decide-by-asking.ts';

/** Longest waits for an answer. The machine's start waits meanwhile; on one host it takes a millisecond. */
const answerWaitMs = 20;
const leasedAnswerWaitMs = 250;

/** Returns those of some addresses that somebody on a bridge has, other than their own MACs. */
export async function askForHolders(bridge: string, addresses: readonly AddressToAsk[]): Promise<Ipv4[]> {
  // The host does not answer itself.
  const own = hostAddresses();
  const isOwn = ({ ip }: AddressToAsk) => own.includes(formatIp(ip));
  const ofHost = addresses.filter(isOwn).map(({ ip }) => ip);
  if (listDirectory(`/sys/class/net/${bridge}/brif`).length === 0) return ofHost;
  const others = addresses.filter(address => !isOwn(address));
  const leased = others.filter(({ isLeased }) => isLeased);
  const free = others.filter(({ isLeased }) => !isLeased);
  const answered = await Promise.all([
    answeredByOthers(bridge, leased, leasedAnswerWaitMs),
    answeredByOthers(bridge, free, answerWaitMs),
  ]);
  return [...ofHost, ...answered.flat()];
}

async function answeredByOthers(
  bridge: string,
  addresses: readonly AddressToAsk[],
  waitMs: number,
): Promise<Ipv4[]> {
  const ips = addresses.map(({ ip }) => formatIp(ip));
  const answers = await askNeighbours(ips, bridge, waitMs);
  return addresses.flatMap(({ ip, macs }) => {
    const mac = answers.get(formatIp(ip));
    return mac === undefined || macs.some(own => own === mac) ? [] : [ip];
  });
}
