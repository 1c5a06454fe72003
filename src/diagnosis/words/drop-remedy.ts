// Proposes the command that lets packets of one bridge pass a chain of another program that drops them.
import type { Drop, Packet } from '../details.ts';

/** A packet's direction, from the view of the host, and the UDP port of its service. */
const traits: Readonly<
  Record<Packet['kind'], { readonly direction: 'in' | 'out'; readonly servicePort: number | null }>
> = {
  dhcp: { direction: 'in', servicePort: 67 },
  dns: { direction: 'in', servicePort: 53 },
  outgoing: { direction: 'in', servicePort: null },
  returning: { direction: 'out', servicePort: null },
};

const iptablesTables = ['filter', 'mangle', 'raw', 'security'];

/**
 * Returns the narrowest command that accepts packets of this bridge, in the form of the program that owns the
 * chain: ufw, firewalld, iptables or nft. Null for names that a shell or nft could misread.
 */
export function commandAgainst(
  { family, table, chain, rule }: Drop,
  packet: Packet['kind'],
  bridge: string,
): string | null {
  const { direction, servicePort } = traits[packet];
  if (![family, table, chain].every(name => /^[\w.-]+$/.test(name))) return null;
  if (/^ufw6?-/.test(chain))
    return servicePort === null
      ? `ufw route allow ${direction} on ${bridge}`
      : `ufw allow in on ${bridge} to any port ${servicePort}`;
  if (table === 'firewalld')
    return `firewall-cmd --permanent --zone=libvirt --add-interface=${bridge} && firewall-cmd --reload`;
  // A policy drops all that is not accepted, so accept all of the bridge: virlan's own rules filter it.
  const isPolicy = rule === null;
  const directions: readonly ('in' | 'out')[] =
    isPolicy && servicePort === null ? ['in', 'out'] : [direction];
  const port = isPolicy ? null : servicePort;
  const isIptables = family === 'ip' && iptablesTables.includes(table);
  return directions
    .map(way =>
      isIptables
        ? `iptables -t ${table} -I ${chain} ${iptablesMatch(way, bridge, port)} -j ACCEPT`
        : `nft insert rule ${family} ${table} ${chain} ${nftMatch(way, bridge, port)} accept`,
    )
    .join(' && ');
}

function iptablesMatch(way: 'in' | 'out', bridge: string, port: number | null): string {
  return `${way === 'in' ? '-i' : '-o'} ${bridge}${port === null ? '' : ` -p udp --dport ${port}`}`;
}

function nftMatch(way: 'in' | 'out', bridge: string, port: number | null): string {
  return `${way === 'in' ? 'iifname' : 'oifname'} ${bridge}${port === null ? '' : ` udp dport ${port}`}`;
}
