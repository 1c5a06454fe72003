// Proposes the command that lets packets of one machine alone pass a chain of another program that drops them.
import { formatIp } from '../../address/ip.ts';
import { firewalldTable } from '../../other-firewalls/model.ts';
import type { MachinePort } from '../machine-details.ts';
import type { Drop, Packet } from '../packet-drop.ts';
import { hasPlainNames, iptablesProgram } from './drop-remedy.ts';

/** Conditions that only packets of a machine meet, or those to it, in the words of each program. */
interface Match {
  readonly iptables: string;
  readonly nft: string;
  readonly ufw: string;
}

/**
 * Returns the command in the form of the program that owns the chain: ufw, iptables or nft. Null where a shell or nft
 * could misread a name, where the packet cannot be told by the machine's port or bridge, and for firewalld: its
 * zones are for links and for addresses.
 */
export function commandForMachine(drop: Drop, packet: Packet['kind'], port: MachinePort): string | null {
  const { family, table, chain, links } = drop;
  const { bridge, tap } = port;
  const isOwn = (link: string | null) => link === bridge || link === tap;
  const direction = isOwn(links.in) ? 'in' : isOwn(links.out) ? 'out' : null;
  if (direction === null || table === firewalldTable) return null;
  const link = links[direction] ?? bridge;
  if (!hasPlainNames(drop) || !/^[\w.-]+$/.test(link)) return null;
  const match = direction === 'in' ? matchFrom(packet, port) : matchTo(packet, port);
  if (/^ufw6?-/.test(chain)) {
    const route = links.in !== null && links.out !== null ? 'route ' : '';
    return `ufw ${route}prepend allow ${direction} on ${link}${match.ufw}`;
  }
  const program = iptablesProgram(family, table);
  return program === null
    ? `nft insert rule ${family} ${table} ${chain} ${direction === 'in' ? 'iifname' : 'oifname'} ${link} ${match.nft} accept`
    : `${program} -t ${table} -I ${chain} -${direction === 'in' ? 'i' : 'o'} ${link} ${match.iptables} -j ACCEPT`;
}

function matchFrom(packet: Packet['kind'], { mac, ip }: MachinePort): Match {
  const address = formatIp(ip);
  switch (packet) {
    case 'dhcp':
      // It has no address yet.
      return {
        iptables: `-m mac --mac-source ${mac} -p udp --dport 67`,
        nft: `ether saddr ${mac} udp dport 67`,
        ufw: ' to any port 67',
      };
    case 'dns':
      return {
        iptables: `-s ${address} -p udp --dport 53`,
        nft: `ip saddr ${address} udp dport 53`,
        ufw: ` from ${address} to any port 53`,
      };
    case 'outgoing':
    case 'connecting':
    case 'returning':
    case 'connected':
      return { iptables: `-s ${address}`, nft: `ip saddr ${address}`, ufw: ` from ${address}` };
  }
}

function matchTo(packet: Packet['kind'], { ip }: MachinePort): Match {
  const address = formatIp(ip);
  switch (packet) {
    case 'dhcp':
      return { iptables: '-p udp --sport 67', nft: 'udp sport 67', ufw: '' };
    case 'dns':
      return {
        iptables: `-d ${address} -p udp --sport 53`,
        nft: `ip daddr ${address} udp sport 53`,
        ufw: ` to ${address}`,
      };
    case 'outgoing':
    case 'connecting':
    case 'returning':
    case 'connected':
      return { iptables: `-d ${address}`, nft: `ip daddr ${address}`, ufw: ` to ${address}` };
  }
}
