// The guard's rules for questions to dnsmasq: how many, and by TCP from which tap. dnsmasq itself has limits for all
// machines together, which one machine would use up.
import { formatIp, type Ipv4 } from '../address/ip.ts';
import { questionsAtOnce, questionsPerSecond } from '../dnsmasq/dns-limits.ts';
import { tapPriorities } from '../firewall/connection-limit.ts';
import { deny } from './denials.ts';
import { dynamicSet } from './limited-values.ts';

/**
 * Returns the chains that judge a packet to port 53, of UDP and of TCP; `tellsTaps` is false where the kernel cannot
 * compute the number of a tap (nft_hash).
 */
export function dnsChains(
  gateway: Ipv4,
  tellsTaps: boolean,
): (readonly [name: string, rules: readonly string[]])[] {
  const toDnsmasq = `ip daddr ${formatIp(gateway)}`;
  const more = `limit rate over ${questionsPerSecond}/second burst ${questionsAtOnce} packets`;
  const { first, count } = tapPriorities;
  return [
    ['deny_dns_flood', deny('dns_rate')],
    ['dns', [`${toDnsmasq} update @dns_questions { iifname ${more} } goto deny_dns_flood`]],
    // The rules for packets to the host count connections by it: there, all packets come from the bridge. With the MAC
    // of a neighbour, the packet would pass as one that the host forwards.
    [
      'dns_by_tcp',
      tellsTaps
        ? [`meta pkttype host ${toDnsmasq} meta priority set jhash iifname mod ${count} offset ${first}`]
        : [],
    ],
  ];
}

/** Returns the name of the set that limits questions, with its declaration. */
export function dnsSets(): (readonly [name: string, lines: readonly string[]])[] {
  return [['dns_questions', dynamicSet('type ifname', '1m')]];
}
