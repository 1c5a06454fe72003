// The guard's rules for packets of IPv4.
import type { NetworkConfig } from '../config/config.ts';
import { isValid4, ofRouter4 } from '../firewall/frame-matches.ts';
import { address4OfOther } from './matches.ts';
import { receiverRule, senderRule } from './sender-rules.ts';

/** The receiver of the packet that an error of ICMP is about. */
const refusedReceiver = '@th,192,32';

/** Returns the chain `packet4`, which judges a packet, and those that it goes to. */
export function packet4Chains(
  network: Pick<NetworkConfig, 'subnet' | 'gateway'>,
): (readonly [name: string, rules: readonly string[]])[] {
  const { gateway } = network;
  return [
    [
      'icmp_message',
      [
        `${ofRouter4} goto deny_as_router`,
        'meta protocol ip icmp type { destination-unreachable, source-quench, time-exceeded, parameter-problem } goto icmp_error',
      ],
    ],
    [
      'icmp_error',
      [
        // The first fragment may end before the packet that the error is about.
        'ip frag-off & 0x3fff != 0 goto deny_other',
        // No machine gets packets to the gateway. An error about one would end a connection, or a question to DNS.
        `${refusedReceiver} 0x${gateway.toString(16)} goto deny_as_router`,
      ],
    ],
    [
      'packet4',
      [
        'iifname . ip saddr @own4 goto packet4_rest',
        `${address4OfOther('ip saddr')} goto deny_addr4_ip`,
        senderRule(network),
        'goto packet4_rest',
      ],
    ],
    ['packet4_rest', [`${isValid4} goto packet4_valid`, 'goto deny_other']],
    [
      'packet4_valid',
      [
        receiverRule(network),
        'meta l4proto icmp goto icmp_message',
        // Multicast routers announce themselves by PIM, and by a type of IGMP.
        'meta protocol ip meta l4proto pim goto deny_as_router',
        'meta l4proto igmp goto igmp_message',
        // Clients of DHCP look at port 68 alone.
        'udp dport vmap { 53 : goto dns, 67 : goto dhcp, 68 : goto deny_dhcp_answer, 69 : goto tftp }',
        'tcp dport 53 goto dns_by_tcp',
      ],
    ],
  ];
}
