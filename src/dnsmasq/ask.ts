// Asks a network's dnsmasq a DNS question, to see that it works.
import { Resolver } from 'node:dns/promises';
import { formatIp } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';

/** An idle dnsmasq answers within a millisecond. */
const answerTimeoutMs = 2000;

const questions = 3;

/**
 * `closed`: nothing listens, as where the administrator turned DNS off (`port=0`). `silence`: something
 * listens, but does not answer.
 */
export type DnsAnswer = 'answer' | 'closed' | 'silence';

/** Asks for a name of the network's own domain, which dnsmasq answers without other servers. */
export async function askDns({
  gateway,
  domain,
}: Pick<NetworkConfig, 'gateway' | 'domain'>): Promise<DnsAnswer> {
  const resolver = new Resolver({ timeout: answerTimeoutMs, tries: questions });
  resolver.setServers([formatIp(gateway)]);
  try {
    await resolver.resolve4(`virlan.${domain}`);
    return 'answer';
  } catch (error) {
    // Any other error, such as ENOTFOUND, is an answer.
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ETIMEOUT') return 'silence';
    return code === 'ECONNREFUSED' ? 'closed' : 'answer';
  }
}
