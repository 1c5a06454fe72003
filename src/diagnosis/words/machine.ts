// The words for findings about one machine and its NICs. A machine's name is hostile, and always quoted.

import { formatIp } from '../../address/ip.ts';
import { broadcastsPerSecond } from '../../guard/broadcast-rules.ts';
import type { Denial } from '../../guard/denials.ts';
import { clientsBehindTap } from '../../guard/dhcp-rules.ts';
import { groupsBehindTap } from '../../guard/group-rules.ts';
import { neighboursBehindTap, sendersBehindTap } from '../../guard/sender-rules.ts';
import { problemText } from '../../identity/problem-text.ts';
import { otherBridgeRemedy } from '../../network/warnings/tap-text.ts';
import { shellQuoted } from '../../text.ts';
import type { Fix } from '../finding.ts';
import type { DroppedFrames, MachineDetails, OtherPlace } from '../machine-details.ts';
import type { Packet } from '../packet-drop.ts';
import { commandThatShows } from './drop-remedy.ts';
import { exceptionFrom } from './ipsec-remedy.ts';
import { commandForMachine } from './machine-remedy.ts';
import { place } from './probe.ts';
import { repairs, showsMore, virlanRepairs, type Words } from './row.ts';

export const machineWords: Words<keyof MachineDetails> = {
  'machine-unknown': {
    seen: ({ machine, nearest }) => {
      const advice = nearest === null ? '' : `; the nearest name is ${quoted(nearest)}`;
      return `libvirt has no machine ${quoted(machine)}${advice}`;
    },
    fix: () => showsMore('virsh list --all'),
  },
  'machine-shut-off': {
    seen: ({ machine }) => `${quoted(machine)} is shut off`,
    fix: ({ machine }) => repairs(`virsh start -- ${shellQuoted(machine)}`),
  },
  'machine-runs': { seen: () => 'runs' },
  'nics-found': { seen: ({ nics }) => nics.map(describeNic).join(', ') },
  'no-nic': { seen: ({ machine }) => `${quoted(machine)} has no NIC`, fix: edit },
  'nics-elsewhere': {
    seen: ({ machine, places }) => {
      const list = places.map(describePlace).join(', ');
      return `${quoted(machine)} has no NIC on a network of virlan: it is on ${list}`;
    },
    fix: edit,
  },
  'not-running': { seen: () => 'the machine does not run' },
  'tap-plugged-in': { seen: ({ tap, bridge }) => `${tap} in ${bridge}` },
  'tap-gone': {
    seen: ({ tap }) => `its port ${tap} is gone from this host`,
    fix: ({ machine }) =>
      repairs(`virsh destroy -- ${shellQuoted(machine)}; virsh start -- ${shellQuoted(machine)}`),
  },
  'tap-unplugged': { seen: ({ tap }) => `its port ${tap} is in no bridge`, fix: () => virlanRepairs() },
  'tap-in-other-bridge': {
    seen: ({ tap, bridge, found }) => `port ${tap} is in ${found}, not in ${bridge}`,
    fix: ({ tap }) => repairs(otherBridgeRemedy(tap)),
  },
  'tap-down': {
    seen: ({ tap }) => `its port ${tap} is down`,
    fix: () => virlanRepairs(),
  },
  'tap-kept-down': {
    seen: ({ tap }) => `libvirt keeps its port ${tap} down: <link state='down'/>`,
    fix: ({ machine, tap }) =>
      repairs(`virsh domif-setlink -- ${shellQuoted(machine)} ${shellQuoted(tap)} up`),
  },
  'port-forwards': { seen: () => 'forwards' },
  'mac-behind-other-port': {
    seen: ({ tap, mac, behind }) =>
      `a static entry of the bridge has ${mac} behind ${behind}: frames for the machine go there, not to ${tap}`,
    fix: ({ mac, behind }) => repairs(`bridge fdb delete ${mac} dev ${shellQuoted(behind)} master`),
  },
  'port-outside-bridge': { seen: ({ tap }) => `${tap} is not in the bridge` },
  'port-waits-for-stp': {
    seen: ({ tap }) => `STP does not let ${tap} forward yet: wait four seconds`,
    fix: () => repairs('sleep 4'),
  },
  'port-blocked': { seen: ({ tap }) => `${tap} is blocked in its bridge`, fix: letForward },
  'port-disabled': { seen: ({ tap }) => `${tap} is disabled in its bridge`, fix: letForward },
  'request-answered': { seen: () => 'its DHCP request was answered' },
  'address-static': {
    seen: ({ ip }) => `has ${formatIp(ip)}, which is reserved for it, without DHCP: a static address`,
  },
  'request-heard': { seen: () => 'dnsmasq received its DHCP request' },
  'nothing-sent': {
    seen: ({ machine, tap }) =>
      `${quoted(machine)} has not sent a single frame on ${tap}: its system has not come up, ` +
      'or does not use this NIC',
    fix: openConsole,
  },
  'no-lease-given': {
    seen: ({ mac }) => `it sends, but ${mac} has no lease from dnsmasq: its system may not ask by DHCP`,
    fix: watchDhcp,
  },
  'request-missing': {
    seen: ({ mac }) =>
      `it sends, but ${mac} has no lease from dnsmasq, which received no DHCP request from it: ` +
      'its system does not use DHCP',
    fix: watchDhcp,
  },
  reserved: { seen: ({ ip }) => formatIp(ip) },
  'not-reserved': {
    seen: ({ mac, network }) => `no address is reserved for ${mac} on ${network}`,
    fix: ({ machine }) => virlanRepairs(`virlan doctor --fix -- ${shellQuoted(machine)}`),
  },
  'reservation-problem': { seen: ({ problem }) => problemText(problem) },
  'not-in-hostsfile': {
    seen: ({ mac, ip }) => `dnsmasq's hostsfile does not have ${mac}, for which ${formatIp(ip)} is reserved`,
    fix: () => virlanRepairs(),
  },
  leased: { seen: ({ ip }) => `${formatIp(ip)} leased` },
  'not-leased': { seen: () => 'no lease' },
  'lease-refused': { seen: ({ logged }) => `dnsmasq refuses it: ${logged}` },
  'leased-before-reserved': {
    seen: ({ mac, leased, reserved }) =>
      `${mac} has leased ${formatIp(leased)} before ${formatIp(reserved)} was reserved for it, ` +
      'and keeps it until it renews its lease',
    fix: ({ machine }) => repairs(`virsh reboot -- ${shellQuoted(machine)}`),
  },
  'nothing-in-the-way': { seen: () => 'no rule of another program drops its packets for certain' },
  'machine-dropped': {
    seen: ({ machine, packet, drop }) =>
      `${packetsOf[packet](quoted(machine))} are dropped by ${place(drop)}`,
    fix: ({ packet, drop, port }) => {
      const command = commandForMachine(drop, packet, port);
      return command === null ? showsMore(commandThatShows(drop)) : repairs(command);
    },
  },
  'machine-taken': {
    seen: ({ machine, packet, policy: { from, to, direction, priority } }) =>
      `${packetsOf[packet](quoted(machine))} are taken by the IPsec policy of this host from ${from} to ${to} ` +
      `(dir ${direction}, priority ${priority}): except the machine from it in the VPN's configuration`,
    fix: ({ packet, policy, port }) => {
      const command = exceptionFrom(policy, `${formatIp(port.ip)}/32`, packet);
      return command === null ? showsMore('ip xfrm policy') : repairs(command);
    },
  },
  'answers-arp': { seen: ({ ip }) => `answers for ${formatIp(ip)}` },
  'no-address': { seen: () => 'no address to ask for' },
  'address-unused': { seen: ({ ip }) => `nothing answers for ${formatIp(ip)}`, fix: openConsole },
  'leased-but-silent': {
    seen: ({ machine, ip }) =>
      `${quoted(machine)} does not answer for ${formatIp(ip)}, though it leased it: ` +
      'its system is down, or uses another address',
    fix: openConsole,
  },
  'guard-not-there': { seen: ({ network }) => `there is no guard on ${network}` },
  'nothing-dropped': { seen: () => 'nothing of it was dropped' },
  'frames-dropped': {
    seen: ({ machine, tap, dropped }) =>
      `the guard drops frames of ${quoted(machine)} on ${tap}: ${dropped.slice(0, maxDropped).map(describeDropped).join('; ')}${describeAllow(dropped.slice(0, maxDropped))}`,
    fix: edit,
  },
  'address-duplicate': {
    seen: ({ ip, mac, answeredBy }) =>
      `${answeredBy} answers for ${formatIp(ip)}, which belongs to ${mac}: two machines use one address`,
    fix: ({ answeredBy }) => showsMore(`bridge fdb show | grep ${answeredBy}`),
  },
};

const packetsOf: Readonly<Record<Packet['kind'], (machine: string) => string>> = {
  dhcp: machine => `DHCP requests of ${machine}, or their answers,`,
  dns: machine => `DNS questions of ${machine}, or their answers,`,
  outgoing: machine => `packets of ${machine} to the outside`,
  returning: machine => `answers of the outside to ${machine}`,
  connecting: machine => `TCP connections of ${machine} to the outside`,
  connected: machine => `answers of the outside to TCP connections of ${machine}`,
};

/** Most reasons that are named. */
const maxDropped = 3;

const denialText: Readonly<Record<Denial, string>> = {
  mac: 'with the MAC',
  addr4: 'with the address',
  addr6: 'with the address',
  dhcp_name: 'of DHCP in the name of',
  dhcp_server: 'of a DHCP server',
  dhcp_rate: 'of DHCP, too many at once',
  dns_rate: 'of questions to the DNS of the gateway, too many at once',
  tftp_rate: 'of requests to the TFTP of the gateway, too many at once',
  dhcp_clients: `of DHCP, from more than ${clientsBehindTap} clients with MACs of their own`,
  senders: `of more than ${sendersBehindTap} MACs that are not its own`,
  neighbours: `from, or to by way of the host, more than ${neighboursBehindTap} addresses that are not its own`,
  broadcasts: `to all machines or to a group, more than ${broadcastsPerSecond} a second`,
  groups: `that join more than ${groupsBehindTap} multicast groups`,
  router: 'of a router',
  bridge: 'of the spanning tree, or others to bridges',
  tag: 'with VLAN tags',
  isolated: 'to machines that it is kept from',
  type: 'that are neither ARP nor valid IP',
};

function describeDropped({ denial, value, frames, owner }: DroppedFrames): string {
  const used = value === null ? '' : ` ${value.kind === 'mac' ? value.mac : formatIp(value.ip)}`;
  const ofWhom = owner !== null ? describeOwner(owner) : value === null ? '' : ', which is not its own';
  return `${frames} ${denialText[denial]}${used}${ofWhom}`;
}

/** Returns what to paste so that a machine may use the addresses, as virtual ones; nothing for the host's. */
function describeAllow(dropped: readonly DroppedFrames[]): string {
  const addresses = dropped.flatMap(({ value, owner }) =>
    value?.kind === 'address' && typeof value.ip === 'number' && owner?.kind !== 'host'
      ? formatIp(value.ip)
      : [],
  );
  if (addresses.length === 0) return '';
  const lines = [...new Set(addresses)].map(address => `<virlan:allow address="${address}"/>`);
  return `. If it is to use ${lines.length === 1 ? 'this address' : 'these addresses'}, put into <virlan:machine> of its definition: ${lines.join(' ')}`;
}

function describeOwner(owner: NonNullable<DroppedFrames['owner']>): string {
  const name =
    owner.kind === 'host'
      ? 'this host'
      : owner.kind === 'device'
        ? `[host.${owner.name}]`
        : quoted(owner.name);
  return `, which belongs to ${name}`;
}

function quoted(name: string): string {
  return JSON.stringify(name);
}

function describeNic({ mac, network, was }: MachineDetails['nics-found']['nics'][number]): string {
  return `${mac}${was === null ? '' : ` (was ${was})`} on ${network}`;
}

function describePlace(place: OtherPlace): string {
  return place.kind === 'other' ? 'a link of another type' : `${place.kind} ${place.name}`;
}

export function edit({ machine }: { readonly machine: string }): Fix {
  return showsMore(`virsh edit -- ${shellQuoted(machine)}`);
}

export function openConsole({ machine }: { readonly machine: string }): Fix {
  return showsMore(`virsh console -- ${shellQuoted(machine)}`);
}

function watchDhcp({ tap }: { readonly tap: string }): Fix {
  return showsMore(`tcpdump -ni ${tap} udp port 67`);
}

/** 3 is BR_STATE_FORWARDING of linux/if_bridge.h. */
function letForward({ tap }: { readonly tap: string }): Fix {
  return repairs(`bridge link set dev ${tap} state 3`);
}
