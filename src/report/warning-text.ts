// The texts for warnings about a network. Pure.

import { formatIp } from '../address/ip.ts';
import type { Fix } from '../diagnosis/finding.ts';
import { fixBy, repairs, showsMore } from '../diagnosis/words/row.ts';
import type { Lacking } from '../firewall/backend.ts';
import { refusedForwardText } from '../forwards/problem-text.ts';
import { type InvalidWish, maxRanges } from '../guard/wishes.ts';
import { refusedEntryText } from '../libvirt/dns-entries-text.ts';
import type { LibvirtNetwork } from '../libvirt/network-xml.ts';
import { kernelReplacedText } from '../network/kernel/kernel-text.ts';
import {
  commandThatShowsRefusal,
  detourRemedy,
  detourText,
  outsideRefusalText,
} from '../network/routes/route-text.ts';
import { sharedAddressRemedy, sharedAddressText } from '../network/warnings/address-text.ts';
import { obstacleText, removalOf } from '../network/warnings/obstacle-text.ts';
import { otherBridgeRemedy } from '../network/warnings/tap-text.ts';
import type { NetworkWarning } from '../network/warnings/warnings.ts';
import {
  commandAboutTaking,
  commandAgainstDrop,
  forwardDropText,
  forwardTakingText,
} from '../other-firewalls/forward-rule-text.ts';
import { type HookOnTheWay, hookOnTheWay, unreadText } from '../other-firewalls/model.ts';
import { proposedCommand, type UnknownChain } from '../other-firewalls/unknown-chains.ts';
import { excerpt, shellQuoted } from '../text.ts';

/** Describes a warning in one line, with the remedy. Names of other programs' chains in it are hostile. */
export function warningText(warning: NetworkWarning): string {
  switch (warning.kind) {
    case 'conflict':
    case 'bridge-is-uplink':
    case 'bridge-of-libvirt':
      return obstacleText(warning);
    case 'detour':
      return `${detourText(warning.detour)}: ${detourRemedy(warning.detour).command}`;
    case 'outside-refused':
      return `${outsideRefusalText(warning.refusal)}: ${commandThatShowsRefusal(warning.refusal)}`;
    case 'underlay-missing': {
      const address = formatIp(warning.address);
      return `no link has ${address}, the address of [cluster]: machines of other hosts are not reached: ip address add ${address}/LENGTH dev LINK`;
    }
    case 'ipv6-unfiltered':
      return `ip6tables is not installed: what passes ${warning.bridge} by IPv6 is not filtered: install ip6tables`;
    case 'ipv6-address':
      return `${warning.bridge} has an IPv6 address that is not virlan's: its settings of IPv6 are left alone, and virlan's rules let nothing pass or reach this host by IPv6`;
    case 'unknown-chain':
      return unknownChainText(warning.bridge, warning.found);
    case 'lan-port': {
      const { bridge, link } = warning;
      return `${link}, which leads to a LAN, is in ${bridge}: clients there get addresses from virlan: ${lanPortRemedy(link)}`;
    }
    case 'tap-in-other-bridge': {
      const [machine, tap, found] = [warning.machine, warning.tap, warning.found].map(name =>
        excerpt(name, maxNameLength),
      );
      return `${tap}, the tap of ${machine}, is in ${found}, not in ${warning.bridge}: ${otherBridgeRemedy(warning.tap)}`;
    }
    case 'address-shared':
      return `${sharedAddressText(warning.shared)}: ${sharedAddressRemedy(warning.shared)}`;
    case 'name-of-libvirt':
      return namesakeText(warning.bridge, warning.other);
    case 'libvirt-dns':
      return refusedEntryText(warning.entry);
    case 'guard-needs-nft':
      return `nft is not installed: machines on ${warning.bridge} are not guarded against each other: install nftables, or set guard = no in virlan.ini`;
    case 'guard-refused':
      return `the kernel refuses the rules of the guard: machines on ${warning.bridge} are not guarded against each other: use a kernel with nf_tables for bridges, or set guard = no in virlan.ini`;
    case 'guard-metadata': {
      const machine = excerpt(warning.machine, maxNameLength);
      return `${machine}: ${invalidWishText[warning.wish]}`;
    }
    case 'guard-tap-name': {
      const machine = excerpt(warning.machine, maxNameLength);
      return `${machine}: its tap "${excerpt(warning.tap, maxNameLength)}" is not guarded, because nftables cannot be given that name: give it another one in <target dev="…"/>, or none`;
    }
    case 'kernel-replaced':
      return kernelReplacedText(warning.release);
    case 'rules-refused':
      return `the kernel refuses ${refusedText[warning.part]}: ${warning.error.message}`;
    case 'unread':
      return unreadText(warning.unread);
    case 'resolved-managed':
      return `systemd-networkd manages ${warning.bridge}, so systemd-resolved is not told of its names: set Unmanaged=yes for it in a .network file, and type networkctl reload`;
    case 'resolved-silent':
      return `systemd-resolved is not told of the names of machines: ${warning.error.message}`;
    case 'dnsmasq-keeps-configuration':
    case 'reservations-unknown':
      return warning.error.message;
    case 'forward-refused':
      return refusedForwardText(warning.refused);
    case 'forward-dropped': {
      const command = commandAgainstDrop(warning.drop);
      return `${forwardDropText(warning.drop)}${command === null ? '' : `: ${command}`}`;
    }
    case 'forward-taken':
      return forwardTakingText(warning.taking);
    case 'forwarding-stays':
      return `net.ipv4.ip_forward stays 1, because what it was before virlan is not recorded: "sysctl -w net.ipv4.ip_forward=0" if nothing else needs it`;
    case 'not-recorded':
      return `the network is made, but its record is not: ${warning.error.message}`;
    case 'record-left':
      return `the network is down, but its record does not say so: ${warning.error.message}`;
  }
}

/** Returns the command against a warning; null where there is none that needs no decision. */
export function warningFix(warning: NetworkWarning): Fix | null {
  switch (warning.kind) {
    case 'conflict':
      return repairs(removalOf(warning.conflict));
    case 'detour':
      return fixBy(detourRemedy(warning.detour));
    case 'outside-refused':
      return showsMore(commandThatShowsRefusal(warning.refusal));
    case 'lan-port':
      return repairs(lanPortRemedy(warning.link));
    case 'tap-in-other-bridge':
      return repairs(otherBridgeRemedy(warning.tap));
    case 'address-shared':
      return repairs(sharedAddressRemedy(warning.shared));
    case 'unknown-chain':
      return repairs(proposedCommand(warning.bridge, warning.found.chain));
    case 'forward-dropped':
      return repairs(commandAgainstDrop(warning.drop));
    case 'forward-taken':
      return showsMore(commandAboutTaking(warning.taking));
    case 'resolved-silent':
      return showsMore('systemctl status systemd-resolved');
    case 'bridge-is-uplink':
    case 'bridge-of-libvirt':
    case 'underlay-missing':
    case 'ipv6-unfiltered':
    case 'ipv6-address':
    case 'name-of-libvirt':
    case 'libvirt-dns':
    case 'kernel-replaced':
    case 'rules-refused':
    case 'unread':
    case 'resolved-managed':
    case 'dnsmasq-keeps-configuration':
    case 'forwarding-stays':
    case 'not-recorded':
    case 'record-left':
    case 'guard-needs-nft':
    case 'guard-refused':
    case 'guard-metadata':
    case 'guard-tap-name':
    case 'forward-refused':
    case 'reservations-unknown':
      return null;
  }
}

function lanPortRemedy(link: string): string {
  return `ip link set dev ${shellQuoted(link)} nomaster`;
}

const refusedText: Readonly<Record<Lacking, string>> = {
  checksum: 'the rule that fills in checksums of DHCP replies, and machines do without',
  security:
    'the table security of iptables, so machines reach on this host what a rule of iptables accepts before those of virlan',
  nftables: 'rules of nftables, so the other firewall backend has them',
  iptables: 'rules of iptables, so the other firewall backend has them',
  'connection-limit':
    'the limit of TCP connections to the DNS of the gateway, and one machine can use them up for all',
  'clamp-mss':
    'the rules that lower the segment size of TCP, so connections may hang where the way outside has a smaller MTU',
  guard: 'the rules of the guard, and machines are not guarded against each other',
};

/** Longest name of a machine in a text, in characters. */
const maxNameLength = 40;

const invalidWishText: Readonly<Record<InvalidWish, string>> = {
  guard: 'guard="…" in its metadata is not others, strict or no, and is ignored',
  allow:
    '<virlan:allow address="…"/> in its metadata is not an address or a range such as 192.168.100.240-192.168.100.250, and is ignored',
  'allow-count': `its metadata has more than ${maxRanges} <virlan:allow address="…"/>, and those after them are ignored: write ranges`,
};

/** `name` is that of a section of virlan.ini. */
function namesakeText(bridge: string, { name, forward, bridge: to }: LibvirtNetwork): string {
  const mode = forward === null ? 'no forward mode' : `forward mode ${excerpt(forward, maxNameLength)}`;
  const place = to === null ? 'no bridge' : `bridge ${excerpt(to, maxNameLength)}`;
  const remedy = `virsh net-destroy ${name}; virsh net-undefine ${name}; or rename [network.${name}] in virlan.ini`;
  return `libvirt has a network ${name} that does not lead to ${bridge} (${mode}, ${place}), and machines on it are not virlan's: ${remedy}`;
}

/** The packets that a chain of each hook decides about. */
const packetsOf: Readonly<Record<HookOnTheWay, string>> = {
  prerouting: 'packets of machines',
  input: 'packets from machines to this host',
  forward: 'forwarded packets of machines',
  output: 'packets from this host to machines, answers of DHCP and DNS among them,',
  postrouting: 'packets to machines',
};

function unknownChainText(bridge: string, { chain, unreadable }: UnknownChain): string {
  const { family, table, name } = chain;
  const packets = packetsOf[hookOnTheWay(chain) ?? 'forward'];
  const place = `chain ${name} of table ${family} ${table}`;
  const remedy = proposedCommand(bridge, chain) ?? `let packets from ${bridge} pass there`;
  const doubt = unreadable === null ? '' : ` (its rules cannot be read: ${unreadable.message})`;
  return `${place} drops ${packets} unless a rule of its own accepts them: ${remedy}${doubt}`;
}
