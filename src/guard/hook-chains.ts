// The chains of the guard that the kernel calls: what comes in is judged, and what goes out is kept from those who may
// not hear it.
import { formatIp, formatPrefix } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import { frameReceiver, frameSender } from './matches.ts';

/** The state of the host that the guard of its bridge depends on. */
export interface GuardedBridge {
  /** The link to the other hosts of its cluster; null where there is none. */
  readonly tunnel: string | null;
  /** True if br_netfilter hands frames on the bridge to the rules of IPv4, so that ports may reflect them. */
  readonly filtersFrames: boolean;
  /** True if the connections of a tap to dnsmasq are counted. */
  readonly limitsConnections: boolean;
}

/**
 * The priority of packets that machines have sent to the host: what br_netfilter translates goes on from port to port.
 * Nothing else keeps it: the host gives packets that it forwards another one. No class of a queue has it.
 */
const sentToHost = '0xbe1a0010';

/** Some packets to the host have, instead, one of the priorities that tell taps apart. */
const notSentToHost = 'meta priority & 0xffff0000 != 0xbe1a0000';

/**
 * Isolation is not left to the option of that name of ports, because machines of a group reach each other. A packet
 * that the host is to forward to another machine has a MAC of the host and that machine's address. One that is sent to
 * a port of the host, and leads to a machine, has an address of the host. MACs of the host are the bridge's, and the
 * tap's own on the tap: the kernel marks frames to both as its own (eth_type_trans, br_handle_frame).
 */
export function hookChains(
  {
    subnet,
    gateway,
    isolate,
    sharesLedger,
  }: Pick<NetworkConfig, 'subnet' | 'gateway' | 'isolate' | 'sharesLedger'>,
  { tunnel, filtersFrames }: GuardedBridge,
): (readonly [name: string, rules: readonly string[]])[] {
  const byHost = `iifname @isolated meta pkttype host ip daddr ${formatPrefix(subnet)}`;
  const prerouting = 'type filter hook prerouting priority -300; policy accept;';
  const forward = 'type filter hook forward priority -300; policy accept;';
  const passing = `${notSentToHost} iifname @isolated oifname @isolated iifname . oifname != @peers`;
  const forwarding = [
    ...(tunnel !== null && sharesLedger ? isolatedPortRules(tunnel) : []),
    ...(isolate ? [...tunnelRules(tunnel), `${passing} goto deny_to_others`] : []),
    // A bridge in the machine would learn at its way out where those behind it are.
    ...(filtersFrames ? [`${notSentToHost} iifname . oifname @reflecting drop`] : []),
  ];
  return [
    [
      'prerouting',
      [
        prerouting,
        ...(isolate
          ? [
              // The host removes tags of VLAN 0, but the kernel looks behind one of them only for the rules below.
              'iifname @isolated meta protocol { 8021q, 8021ad } goto deny_tagged',
              `${byHost} ip daddr != ${formatIp(gateway)} goto deny_to_others`,
              `iifname @isolated meta pkttype host meta priority set ${sentToHost}`,
            ]
          : []),
        ...(filtersFrames
          ? [`iifname . iifname @reflecting meta pkttype host meta priority set ${sentToHost}`]
          : []),
        'iifname vmap @ports',
      ],
    ],
    ...(forwarding.length === 0 ? [] : [['forward', [forward, ...forwarding]] as const]),
    // The bridge sends a frame to all ports if it does not know where the receiver is, as after 300 s of silence.
    [
      'postrouting',
      [
        'type filter hook postrouting priority -300; policy accept;',
        `oifname . ${frameReceiver} @own_macs accept`,
        `oifname @taps ${frameReceiver} @macs drop`,
      ],
    ],
  ];
}

/**
 * Returns the rules for ports that libvirt isolates, and such NICs on other hosts: the kernel keeps ports of one bridge
 * apart. Other hosts know a NIC by its MACs, so it sends into the tunnel with those alone: a frame with a MAC that
 * belongs to nobody would be taken for one of a NIC that is not isolated.
 */
function isolatedPortRules(tunnel: string): string[] {
  return [
    `iifname "${tunnel}" oifname @isolated_ports ${frameSender} @remote_isolated drop`,
    `iifname @isolated_ports oifname "${tunnel}" iifname . ${frameSender} != @own_macs goto deny_mac_frame`,
    `iifname @isolated_ports oifname "${tunnel}" ${frameReceiver} @remote_isolated goto deny_to_others`,
  ];
}

/**
 * Returns the rules for machines of other hosts, which are known by their MACs: the guard of their host lets no
 * other machine use them. Broadcasts pass to the other hosts, because machines of the group there need them.
 */
function tunnelRules(tunnel: string | null): string[] {
  if (tunnel === null) return [];
  const isUnicast = 'ether daddr & 01:00:00:00:00:00 == 0';
  return [
    `iifname "${tunnel}" oifname @isolated oifname . ${frameSender} != @remote_peers drop`,
    `iifname @isolated oifname "${tunnel}" ${isUnicast} iifname . ${frameReceiver} != @remote_peers goto deny_to_others`,
  ];
}
