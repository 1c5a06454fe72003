// The words for what drops packets of tunnels, and the command that lets them pass.
import { formatIp } from '../address/ip.ts';
import { vxlanPort } from '../address/port.ts';
import { excerpt } from '../text.ts';
import { iptablesProgramOf } from './model.ts';
import type { TunnelDrop } from './tunnel-drops.ts';

/** Longest part of a rule that a sentence repeats, in characters. */
const maxRuleLength = 120;

/** Most hosts that a sentence names. */
const maxPeers = 3;

/** Describes the drop, whose texts are hostile, in one line. */
export function tunnelDropText({ way, peers, base, chain, by, rule }: TunnelDrop): string {
  const named = peers.slice(0, maxPeers).map(formatIp).join(', ');
  const more = peers.length > maxPeers ? ` and ${peers.length - maxPeers} more` : '';
  const packets = `packets ${way === 'arriving' ? 'from' : 'to'} ${named}${more} to UDP port ${vxlanPort}`;
  const place = `chain ${chain} of table ${base.family} ${base.table}`;
  const text = rule === null ? '' : `: ${excerpt(rule, maxRuleLength)}`;
  return `${packets} are dropped on this host by ${by === 'policy' ? 'the policy' : 'a rule'} of ${place}${text}`;
}

/** Returns a command that lets these packets pass; null when it would contain a hostile name, or there is none. */
export function commandAgainstTunnelDrop(drop: TunnelDrop): string | null {
  const { owner, way, peers, base } = drop;
  const hosts = peers.map(formatIp);
  switch (owner) {
    case 'ufw':
      return hosts
        .map(host =>
          way === 'arriving'
            ? `ufw prepend allow from ${host} to any port ${vxlanPort} proto udp`
            : `ufw prepend allow out to ${host} port ${vxlanPort} proto udp`,
        )
        .join(' && ');
    case 'firewalld':
      return firewalldCommand(drop);
    case null:
      break;
  }
  const { family, table, name } = base;
  if (![family, table, name].every(word => /^[A-Za-z0-9_.-]+$/.test(word))) return null;
  const program = iptablesProgramOf(base);
  if (program !== null) {
    const end = `${way === 'arriving' ? '-s' : '-d'} ${hosts.join(',')}`;
    return `${program} -t ${table} -I ${name} ${end} -p udp --dport ${vxlanPort} -j ACCEPT`;
  }
  const end = `ip ${way === 'arriving' ? 'saddr' : 'daddr'} { ${hosts.join(', ')} }`;
  return `nft insert rule ${family} ${table} ${name} ${end} udp dport ${vxlanPort} accept`;
}

/** firewalld filters by zone what arrives: the chain is named after it. What leaves is the matter of its policies. */
function firewalldCommand({ way, chain }: TunnelDrop): string | null {
  if (way === 'leaving') return null;
  const [, zone = null] = /^filter_IN_([A-Za-z0-9_-]+?)(?:_(?:pre|log|deny|allow|post))?$/.exec(chain) ?? [];
  const option = zone === null ? '' : ` --zone=${zone}`;
  return `firewall-cmd --permanent${option} --add-port=${vxlanPort}/udp && firewall-cmd --reload`;
}
