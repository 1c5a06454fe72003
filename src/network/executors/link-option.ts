// The arguments of `ip link set` that change an attribute of a link. Pure.
import type { LinkChange } from '../state/state.ts';

/** Returns the arguments for a change. */
export function linkOption(change: LinkChange): string {
  switch (change.attribute) {
    case 'mac':
      return `address ${change.to}`;
    case 'mtu':
      return `mtu ${change.to}`;
    case 'stp':
      return `type bridge stp_state ${change.to ? 1 : 0}`;
    case 'priority':
      return `type bridge priority ${change.to}`;
    case 'arp':
      return `arp ${change.to ? 'on' : 'off'}`;
    case 'forward delay':
      return `type bridge forward_delay ${change.to}`;
    case 'state':
      return change.to;
    case 'bridge':
      return change.to === null ? 'nomaster' : `master ${change.to}`;
    case 'group_fwd_mask':
      return `type bridge_slave group_fwd_mask ${change.to}`;
    case 'port priority':
      return `type bridge_slave priority ${change.to}`;
    case 'cost':
    case 'mcast_router':
      return `type bridge_slave ${change.attribute} ${change.to}`;
    case 'isolated':
    case 'hairpin':
    case 'learning':
    case 'flood':
    case 'mcast_flood':
    case 'bcast_flood':
    case 'mcast_to_unicast':
    case 'neigh_suppress':
    case 'neigh_vlan_suppress':
    case 'vlan_tunnel':
    case 'proxy_arp':
    case 'proxy_arp_wifi':
    case 'fastleave':
    case 'locked':
    case 'mab':
    case 'root_block':
    case 'guard':
      return `type bridge_slave ${change.attribute} ${change.to ? 'on' : 'off'}`;
  }
}
