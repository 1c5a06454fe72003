// The guard's rules for packets of IPv4.
import type { NetworkConfig } from '../config/config.ts';
import { isValid4, ofRouter4 } from '../firewall/frame-matches.ts';
import { anothersAddress4 } from './matches.ts';
import { receiverRule, senderRule } from './sender-rules.ts';

/** Returns the chain `packet4`, which judges a packet, and those that it goes to. */
export function packet4Chains(
  network: Pick<NetworkConfig, 'subnet' | 'gateway'>,
): (readonly [name: string, rules: readonly string[]])[] {
  return [
    [
      'packet4',
      [
        'iifname . ip saddr @own4 goto packet4_rest',
        `${anothersAddress4('ip saddr')} goto deny_addr4_ip`,
        senderRule(network),
        'goto packet4_rest',
      ],
    ],
    ['packet4_rest', [`${isValid4} goto packet4_valid`, 'goto deny_other']],
    [
      'packet4_valid',
      [
        receiverRule(network),
        `${ofRouter4} goto deny_as_router`,
        // Multicast routers announce themselves by PIM, and by a type of IGMP.
        'meta protocol ip meta l4proto pim goto deny_as_router',
        'meta l4proto igmp goto igmp_message',
        // Clients look at this port alone.
        'udp dport 68 goto deny_dhcp_answer',
        'udp dport 67 goto dhcp',
        'udp dport 53 goto dns',
        'tcp dport 53 goto dns_by_tcp',
      ],
    ],
  ];
}
